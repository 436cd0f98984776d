import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultModelFolder } from '../../src/config.ts';
import type { Engine } from '../../src/engine/generation.ts';
import { loadModel, type LoadedModel } from '../../src/engine/loaded-model.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { collect, requestOf, speculationOf, startRealEngine } from '../support/real-engine.ts';
import { chiSquare, chiSquareLimit, samplingParams, softmax } from '../support/sampling.ts';

const PROMPT = 'export const value = ';
const NUM_SEEDS = 500;
const NUM_COMMON = 8;

describe('sampling from the shipped weights', () => {
  let engine: Engine;
  let model: LoadedModel;
  let promptTokenIds: number[];

  beforeAll(async () => {
    engine = await startRealEngine();
    model = await loadModel(defaultModelFolder(), 1);
    promptTokenIds = (await loadTokenizer(defaultModelFolder())).encode(PROMPT);
  });

  afterAll(async () => {
    await engine.close();
    await model.target.close();
    await model.mtp?.close();
  });

  /** The target's distribution after the prompt and `continuation`. */
  async function distribution(continuation: readonly number[]): Promise<number[]> {
    const tokenIds = [...promptTokenIds, ...continuation];
    const cache = model.targetCaches.take(tokenIds.length);
    const { logits } = await model.target.forward(cache, tokenIds);
    model.targetCaches.giveBack(cache);
    return softmax(logits.subarray((tokenIds.length - 1) * model.target.vocabSize), 1);
  }

  it('follows the target at the first and, with drafts verified, at the second position', async () => {
    const { vocabSize } = model.target;
    const first = Array.from({ length: vocabSize }, () => 0);
    const seconds = new Map<number, number[]>();
    for (let seed = 0; seed < NUM_SEEDS; seed += 1) {
      const request = requestOf({
        prompt: PROMPT,
        maxTokens: 4,
        sampling: samplingParams({ temperature: 1, seed }),
        speculation: speculationOf(3),
      });
      const [one, two] = (await collect(engine.generate(request))).tokenIds as [number, number];
      first[one]! += 1;
      if (!seconds.has(one))
        seconds.set(
          one,
          Array.from({ length: vocabSize }, () => 0),
        );
      seconds.get(one)![two]! += 1;
    }
    const atFirst = chiSquare(first, await distribution([]));
    expect(atFirst.degreesOfFreedom).toBeGreaterThan(3);
    expect(atFirst.statistic).toBeLessThan(chiSquareLimit(atFirst.degreesOfFreedom));
    // Of the tokens that came most often, the one after which the most others are likely.
    const common = [...seconds.keys()].toSorted((a, b) => first[b]! - first[a]!).slice(0, NUM_COMMON);
    const followed: ReturnType<typeof chiSquare>[] = [];
    for (const tokenId of common)
      followed.push(chiSquare(seconds.get(tokenId)!, await distribution([tokenId])));
    const atSecond = followed.toSorted((a, b) => b.degreesOfFreedom - a.degreesOfFreedom)[0]!;
    expect(atSecond.degreesOfFreedom).toBeGreaterThan(0);
    expect(atSecond.statistic).toBeLessThan(chiSquareLimit(atSecond.degreesOfFreedom));
  });
});
