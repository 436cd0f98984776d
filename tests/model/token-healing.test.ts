import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prompts } from '../../scripts/bench/prompts.ts';
import type { Engine, GenerationRequest } from '../../src/engine/generation.ts';
import {
  collect,
  requestOf,
  speculationOf,
  startRealEngine,
  type Collected,
} from '../support/real-engine.ts';
import { samplingParams } from '../support/sampling.ts';

describe('a prompt that ends within a word or an indent, with the shipped weights', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await startRealEngine();
  });
  afterAll(async () => {
    await engine.close();
  });

  const generate = async (prompt: string, given: Partial<GenerationRequest> = {}): Promise<Collected> =>
    await collect(engine.generate(requestOf({ prompt, maxTokens: 16, ...given })));

  it.each([
    ['function foo(a: number) {\n  retu', 'rn'],
    ['const text = JSON.stringi', 'fy('],
    ['import { readFi', 'le'],
    ['for (let i = 0; i < items.length; i+', '+)'],
    ['export function add(a: number, b: number) {\n', '  '],
  ])('goes on with it: %j', async (prompt, beginning) => {
    const { text, tokens } = await generate(prompt);
    expect(text.startsWith(beginning)).toBe(true);
    expect(tokens.map((token) => token.text).join('')).toBe(text);
    expect((await generate(prompt, { tokenHealing: false })).text.startsWith(beginning)).toBe(false);
  });

  const cuts = prompts
    .filter((_, index) => index % 5 === 0)
    .flatMap(({ text }) => [text, text.slice(0, text.length - 7), text.slice(0, text.length >> 1)]);
  const samplings = {
    greedy: samplingParams(),
    sampled: samplingParams({ temperature: 0.8, seed: 3, topP: 0.9 }),
  };

  it.each(Object.entries(samplings))(
    'gives the same tokens at any depth, from any cache, and in a replay: %s',
    async (_, sampling) => {
      let numHealed = 0;
      for (const prompt of cuts) {
        const off = await generate(prompt, { sampling, speculation: speculationOf(0), cachePrompt: false });
        const unhealed = await generate(prompt, { sampling, tokenHealing: false, cachePrompt: false });
        numHealed += Number(off.text !== unhealed.text);
        for (const given of [
          { speculation: { ...speculationOf(3), measureBaseline: true } },
          { speculation: speculationOf(8, true) },
          { speculation: speculationOf(1) },
        ]) {
          const { tokenIds, text, report } = await generate(prompt, { sampling, ...given });
          expect(tokenIds).toEqual(off.tokenIds);
          expect(text).toBe(off.text);
          const { method, identical } = report.baseline as { method: string; identical?: boolean };
          expect(identical ?? null).toBe(method === 'measured' ? true : null);
        }
      }
      expect(numHealed).toBeGreaterThan(5);
    },
  );

  it('echoes the prompt as it came', async () => {
    const prompt = 'function foo(a: number) {\n  retu';
    const { events } = await generate(prompt, { echo: true });
    expect(events[0]).toMatchObject({ type: 'prompt-evaluated', text: prompt });
  });
});
