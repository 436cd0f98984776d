import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultModelFolder } from '../../src/config.ts';
import type { Engine } from '../../src/engine/generation.ts';
import { loadModel, type LoadedModel } from '../../src/engine/loaded-model.ts';
import { openEnd } from '../../src/engine/open-end.ts';
import { loadTokenizer, type TextTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { collect, oneThread, requestOf, speculationOf, startRealEngine } from '../support/real-engine.ts';
import { chiSquare, chiSquareLimit, samplingParams, softmax } from '../support/sampling.ts';

const PROMPT = 'export const value = ';
const NUM_SEEDS = 500;
const NUM_COMMON = 8;

describe('sampling from the shipped weights', () => {
  let engine: Engine;
  let model: LoadedModel;
  let tokenizer: TextTokenizer;
  let promptTokenIds: number[];

  beforeAll(async () => {
    engine = await startRealEngine();
    model = await loadModel(defaultModelFolder(), oneThread);
    tokenizer = await loadTokenizer(defaultModelFolder());
    promptTokenIds = tokenizer.encode(PROMPT);
  });

  afterAll(async () => {
    await engine.close();
    await model.target.close();
    await model.mtp?.close();
  });

  /** The target's distribution after some tokens. */
  async function distributionAfter(tokenIds: readonly number[]): Promise<number[]> {
    const cache = model.targetCaches.take(tokenIds.length);
    const { logits } = await model.target.forward(cache, tokenIds);
    model.targetCaches.giveBack(cache);
    return softmax(logits.subarray((tokenIds.length - 1) * model.target.vocabSize), 1);
  }

  const distribution = async (continuation: readonly number[]): Promise<number[]> =>
    await distributionAfter([...promptTokenIds, ...continuation]);

  it('follows the target among the tokens that begin as the prompt ends', async () => {
    const [open, ...more] = openEnd(promptTokenIds, tokenizer);
    expect([open!.text, more]).toEqual([' ', []]);
    const given = promptTokenIds.at(-1)!;
    const allowed = new Set([given, ...open!.extensions]);
    const probabilities = (await distributionAfter(promptTokenIds.slice(0, -1))).map(
      (probability, tokenId) => (allowed.has(tokenId) ? probability : 0),
    );
    const total = probabilities.reduce((sum, probability) => sum + probability, 0);
    const counts = probabilities.map(() => 0);
    for (let seed = 0; seed < NUM_SEEDS; seed += 1) {
      const sampling = samplingParams({ temperature: 1, seed });
      const { tokens } = await collect(
        engine.generate(requestOf({ prompt: PROMPT, maxTokens: 1, sampling })),
      );
      const [{ tokenId, text }] = tokens as [(typeof tokens)[number]];
      const isReplacement = text !== tokenizer.tokenText(tokenId);
      counts[isReplacement ? tokenId : given]! += 1;
    }
    const { statistic, degreesOfFreedom } = chiSquare(
      counts,
      probabilities.map((probability) => probability / total),
    );
    expect(degreesOfFreedom).toBeGreaterThan(3);
    expect(statistic).toBeLessThan(chiSquareLimit(degreesOfFreedom));
  });

  it('follows the target at the first and, with drafts verified, at the second position', async () => {
    const { vocabSize } = model.target;
    const first = Array.from({ length: vocabSize }, () => 0);
    const seconds = new Map<number, number[]>();
    for (let seed = 0; seed < NUM_SEEDS; seed += 1) {
      const request = requestOf({
        prompt: promptTokenIds,
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
