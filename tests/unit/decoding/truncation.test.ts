import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LogitsScan } from '../../../src/decoding/logits-scan.ts';
import type { SamplingParams } from '../../../src/decoding/sampling-params.ts';
import { isTruncating, Truncation } from '../../../src/decoding/truncation.ts';
import { samplingParams, softmax } from '../../support/sampling.ts';

const anyLogits = fc
  .array(fc.oneof(fc.double({ min: -50, max: 50, noNaN: true }), fc.constantFrom(0, 1, 2)), {
    minLength: 1,
    maxLength: 50,
  })
  .map((logits) => Float32Array.from(logits));
const anyParams = fc
  .record({
    topP: fc.oneof(fc.constant(1), fc.double({ min: 1e-6, max: 1, noNaN: true })),
    topK: fc.oneof(fc.constant(0), fc.nat(60)),
    minP: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
  })
  .map(samplingParams);

/** At temperature 1, the most probable first. */
function remainingTokens(logits: Float32Array, params: SamplingParams): number[] {
  const truncation = new Truncation(LogitsScan.holding(logits), { ...params, temperature: 1 });
  const { value, tokenId: behind } = truncation.bound;
  return [...logits.keys()]
    .filter((tokenId) => logits[tokenId]! > value || (logits[tokenId] === value && tokenId < behind))
    .filter((tokenId) => truncation.keeps(tokenId))
    .toSorted((a, b) => logits[b]! - logits[a]! || a - b);
}

describe('Truncation', () => {
  it('leaves some of the tokens, the most probable one among them', () => {
    fc.assert(
      fc.property(anyLogits, anyParams, (logits, params) => {
        const remaining = remainingTokens(logits, params);
        expect(remaining.length).toBeGreaterThan(0);
        expect(Math.max(...logits) - logits[remaining[0]!]!).toBe(0);
      }),
    );
  });

  it('leaves out only what is less probable than all that remains', () => {
    fc.assert(
      fc.property(anyLogits, anyParams, (logits, params) => {
        const remaining = remainingTokens(logits, params);
        const least = logits[remaining.at(-1)!]!;
        const dropped = [...logits.keys()].filter((tokenId) => !remaining.includes(tokenId));
        expect(dropped.every((tokenId) => logits[tokenId]! <= least)).toBe(true);
      }),
    );
  });

  it('leaves all tokens where nothing is set', () => {
    fc.assert(
      fc.property(anyLogits, (logits) => {
        expect(remainingTokens(logits, samplingParams())).toHaveLength(logits.length);
      }),
    );
  });

  it('leaves enough to reach top_p, which would not do without the last', () => {
    fc.assert(
      fc.property(anyLogits, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (logits, topP) => {
        const probabilities = softmax(logits, 1);
        const remaining = remainingTokens(logits, samplingParams({ topP }));
        const covered = remaining.reduce((sum, tokenId) => sum + probabilities[tokenId]!, 0);
        expect(covered).toBeGreaterThan(topP - 1e-6);
        expect(covered - probabilities[remaining.at(-1)!]!).toBeLessThan(topP + 1e-6);
      }),
    );
  });

  it('leaves at most top_k, of equals those with the lower ids', () => {
    const logits = Float32Array.of(1, 3, 2, 3, 2, 3);
    expect(remainingTokens(logits, samplingParams({ topK: 2 }))).toEqual([1, 3]);
    expect(remainingTokens(logits, samplingParams({ topK: 4 }))).toEqual([1, 3, 5, 2]);
    expect(remainingTokens(logits, samplingParams({ topK: 9 }))).toHaveLength(6);
  });

  it.each([1, 2, 7, 40, 1000, 5999, 6000, 6001])('leaves the top_k of many, %i, however they lie', (topK) => {
    for (const logit of [
      (index: number) => 9 * Math.sin(index * index),
      (index: number) => 1e-3 * Math.sin(index),
      (index: number) => 1e6 * Math.sin(index),
      (index: number) => Math.round(3 * Math.sin(index)),
      (index: number) => (index % 3 === 0 ? -Infinity : -index),
    ]) {
      const logits = Float32Array.from({ length: 6000 }, (_, index) => logit(index));
      const sorted = [...logits.keys()]
        .filter((index) => logits[index]! > -Infinity)
        .toSorted((a, b) => logits[b]! - logits[a]! || a - b);
      expect(remainingTokens(logits, samplingParams({ topK }))).toEqual(sorted.slice(0, topK));
    }
  });

  it('leaves, with min_p, what is as probable as that share of the most probable', () => {
    const logits = Float32Array.from([8, 4, 2, 1], Math.log);
    expect(remainingTokens(logits, samplingParams({ minP: 0.24 }))).toEqual([0, 1, 2]);
    expect(remainingTokens(logits, samplingParams({ minP: 0.26 }))).toEqual([0, 1]);
    expect(remainingTokens(logits, samplingParams({ minP: 1 }))).toEqual([0]);
  });

  it('takes top_p of what min_p and top_k have left', () => {
    // 0.4, 0.3, 0.2, 0.1: of the first two, 0.4 is 57%.
    const logits = Float32Array.from([4, 3, 2, 1], Math.log);
    expect(remainingTokens(logits, samplingParams({ topP: 0.5 }))).toEqual([0, 1]);
    expect(remainingTokens(logits, samplingParams({ topP: 0.5, topK: 2 }))).toEqual([0]);
    expect(remainingTokens(logits, samplingParams({ topP: 0.5, minP: 0.7 }))).toEqual([0]);
  });

  it('never leaves a token that is forbidden', () => {
    const logits = Float32Array.of(-Infinity, 0, -Infinity);
    expect(remainingTokens(logits, samplingParams({ topP: 0.99 }))).toEqual([1]);
  });
});

it.each([
  [{}, false],
  [{ temperature: 1 }, false],
  [{ topP: 0.99 }, true],
  [{ topK: 1 }, true],
  [{ minP: 0.01 }, true],
])('isTruncating: %j is %s', (params, expected) => {
  expect(isTruncating(samplingParams(params))).toBe(expected);
});
