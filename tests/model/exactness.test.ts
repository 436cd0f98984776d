import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { manyPrompts } from '../../scripts/bench/prompts.ts';
import type { SamplingParams } from '../../src/decoding/sampling-params.ts';
import type { Engine } from '../../src/engine/generation.ts';
import { collect, requestOf, speculationOf, startRealEngine } from '../support/real-engine.ts';
import { samplingParams } from '../support/sampling.ts';

const NUM_TOKENS = 40;
const prompts = manyPrompts(32).filter((_, index) => index % 8 === 0);
const samplings: Readonly<Record<string, SamplingParams>> = {
  greedy: samplingParams(),
  sampled: samplingParams({ temperature: 0.8, seed: 11 }),
  'sampled with top_p and penalties': samplingParams({
    temperature: 0.8,
    seed: 12,
    topP: 0.9,
    presencePenalty: 0.3,
    frequencyPenalty: 0.2,
    repetitionPenalty: 1.1,
  }),
};

async function decode(
  engine: Engine,
  prompt: string,
  sampling: SamplingParams,
  depth: number,
  adaptive = false,
): Promise<string> {
  const speculation = speculationOf(depth, adaptive);
  return (
    await collect(engine.generate(requestOf({ prompt, maxTokens: NUM_TOKENS, sampling, speculation })))
  ).tokenIds.join();
}

describe('the shipped weights', () => {
  let engine: Engine;
  let singleThreaded: Engine;

  beforeAll(async () => {
    // Each prompt is computed anew each time; what the prefix cache does to the text has a test of its own.
    engine = await startRealEngine({ prefixCache: false, maxNumSeqs: 7 });
    singleThreaded = await startRealEngine({ numThreads: 1, prefixCache: false });
  });

  afterAll(async () => {
    await engine.close();
    await singleThreaded.close();
  });

  it.each(Object.entries(samplings))('give the same tokens at every depth, %s', async (_, sampling) => {
    for (const { text } of prompts) {
      const reference = await decode(engine, text, sampling, 0);
      for (const depth of [1, 2, 3, 8]) expect(await decode(engine, text, sampling, depth)).toBe(reference);
      expect(await decode(engine, text, sampling, 4, true)).toBe(reference);
      expect(await decode(singleThreaded, text, sampling, 3)).toBe(reference);
    }
  });

  it('give the same tokens whatever else runs', async () => {
    const sampling = samplings['sampled']!;
    const alone = await Promise.all(prompts.map(async ({ text }) => await decode(engine, text, sampling, 3)));
    for (const [index, { text }] of prompts.entries())
      expect(await decode(engine, text, sampling, 2)).toBe(alone[index]);
  });

  it('give the same tokens after a long prompt', async () => {
    const long = manyPrompts(96)
      .map(({ text }) => text)
      .join('\n')
      .slice(0, 4000);
    const reference = await decode(engine, long, samplings['greedy']!, 0);
    for (const depth of [1, 3, 4, 8])
      expect(await decode(engine, long, samplings['greedy']!, depth)).toBe(reference);
  });

  it('replay to the same tokens when the baseline is measured', async () => {
    for (const sampling of Object.values(samplings)) {
      const speculation = { maxDraftTokens: 3, adaptive: false, measureBaseline: true };
      const { report } = await collect(
        engine.generate(requestOf({ prompt: prompts[0]!.text, sampling, speculation })),
      );
      expect(report.baseline).toMatchObject({ method: 'measured', identical: true });
    }
  });
});
