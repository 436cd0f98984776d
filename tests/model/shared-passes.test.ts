import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultModelFolder } from '../../src/config.ts';
import { loadModel, type LoadedModel } from '../../src/engine/loaded-model.ts';
import type { KvCache } from '../../src/model/target-model.ts';
import { oneThread } from '../support/real-engine.ts';

const LENGTHS = [300, 17, 640, 64];
const MAX_WIDTH = 9;

describe('the shipped model for who has the machine to itself', () => {
  it('gives the bits that it gives with one thread, prefill included', async () => {
    const model = await loadModel(defaultModelFolder(), { numThreads: 1, numSoloThreads: 2 });
    expect(model.solo?.numThreads).toBe(2);
    const targets = [model.target, model.solo!.target];
    const [one, two] = targets.map((target) => ({ target, cache: model.targetCaches.take(700) }));
    const tokens = Array.from({ length: 640 }, (_, index) => (index * 31) % model.target.vocabSize);
    const { maxWidth } = model.target;
    for (let first = 0; first < tokens.length; first += maxWidth)
      for (const { target, cache } of [one!, two!])
        await target.forward(cache, tokens.slice(first, first + maxWidth));
    for (const width of [1, 2, 3, 4, 5, 6, 7, 8, 9, 17]) {
      const [alone, solo] = [
        await one!.target.forward(one!.cache, tokens.slice(0, width)),
        await two!.target.forward(two!.cache, tokens.slice(0, width)),
      ];
      expect(solo).toEqual(alone);
      for (const { cache } of [one!, two!]) cache.rewindTo(tokens.length);
    }
    for (const target of targets) await target.close();
    await model.mtp?.close();
  });
});

describe('passes of the shipped model that several sequences share', () => {
  let model: LoadedModel;
  let caches: KvCache[];
  let draftCaches: KvCache[];

  const tokens = (seed: number, count: number): number[] =>
    Array.from({ length: count }, (_, index) => (index * 31 + seed * 97) % model.target.vocabSize);

  beforeAll(async () => {
    model = await loadModel(defaultModelFolder(), oneThread, { maxSharing: 4 });
    caches = LENGTHS.map((length) => model.targetCaches.take(length + MAX_WIDTH));
    draftCaches = LENGTHS.map((length) => model.mtpCaches!.take(length + MAX_WIDTH));
    for (const [seed, cache] of caches.entries()) {
      const prompt = tokens(seed, LENGTHS[seed]!);
      const { maxWidth } = model.target;
      for (let first = 0; first < prompt.length; first += maxWidth)
        await model.target.forward(cache, prompt.slice(first, first + maxWidth));
    }
  });

  afterAll(async () => {
    for (const models of [model, ...model.shared]) {
      await models.target.close();
      await models.mtp?.close();
    }
  });

  it('are there for four and for two', () => {
    expect(model.shared.map(({ target }) => target.numSequences)).toEqual([4, 2]);
  });

  it.each([
    [1, 4, 2, 9],
    [3, 3, 3, 3],
    [1, 1, 1, 1],
    [8, 1, 5, 2],
  ])('give each sequence the bits that it gets alone, %i, %i, %i and %i tokens', async (...widths) => {
    for (const { target } of model.shared) {
      const parts = caches
        .slice(0, target.numSequences)
        .map((cache, index) => ({ cache, tokenIds: tokens(index + 5, widths[index]!) }));
      const lengths = parts.map(({ cache }) => cache.length);
      const rewind = (): void => parts.forEach(({ cache }, index) => cache.rewindTo(lengths[index]!));
      const alone = [];
      for (const { cache, tokenIds } of parts) {
        const { logits, hiddenStates } = await model.target.forward(cache, tokenIds);
        alone.push({ logits: logits.slice(), hiddenStates: hiddenStates.slice() });
      }
      const aloneLengths = parts.map(({ cache }) => cache.length);
      rewind();
      expect(await target.forward(parts)).toEqual(alone);
      expect(parts.map(({ cache }) => cache.length)).toEqual(aloneLengths);
      rewind();
    }
  });

  it('draft what each sequence drafts alone, but for rounding', async () => {
    const states = (count: number): Float32Array =>
      Float32Array.from({ length: count * model.target.hiddenSize }, (_, index) => Math.sin(index));
    for (const { target, mtp } of model.shared) {
      const parts = draftCaches.slice(0, target.numSequences).map((cache, index) => {
        cache.pretendLength(LENGTHS[index]!);
        return { cache, tokenIds: tokens(index, index + 1), hiddenStates: states(index + 1) };
      });
      const shared = (await mtp!.forward(parts)).map(({ logits, hiddenStates }) => [
        logits.slice(),
        hiddenStates.slice(),
      ]);
      for (const [index, { cache, tokenIds, hiddenStates }] of parts.entries()) {
        cache.rewindTo(LENGTHS[index]!);
        const alone = await model.mtp!.forward(cache, tokenIds, hiddenStates);
        for (const [at, values] of [alone.logits, alone.hiddenStates].entries()) {
          const error = values.reduce((sum, value, i) => sum + (value - shared[index]![at]![i]!) ** 2, 0);
          const size = values.reduce((sum, value) => sum + value ** 2, 0);
          expect(Math.sqrt(error / size)).toBeLessThan(0.05);
        }
      }
    }
  });

  it('refuse another number of sequences', async () => {
    const { target } = model.shared[0]!;
    await expect(target.forward([{ cache: caches[0]!, tokenIds: [1] }])).rejects.toThrow(
      'expected parts of 4 sequences, got 1',
    );
  });
});
