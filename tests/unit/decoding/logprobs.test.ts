import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logSumExp, tokenLogprobs } from '../../../src/decoding/logprobs.ts';
import { softmax } from '../../support/sampling.ts';

/** Coarse: there are ties, and no two that differ by less than their log probabilities round to. */
const anyLogits = fc
  .array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 60 })
  .map((sixteenths) => Float32Array.from(sixteenths, (value) => value / 16));

describe('logSumExp', () => {
  it('does not overflow', () => {
    expect(logSumExp(Float32Array.of(1000, 1000))).toBeCloseTo(1000 + Math.LN2, 9);
    expect(logSumExp(Float32Array.of(-1000, -1000))).toBeCloseTo(-1000 + Math.LN2, 9);
  });
});

describe('tokenLogprobs', () => {
  it('are the logarithms of the softmax, and sum to 1', () => {
    fc.assert(
      fc.property(anyLogits, (logits) => {
        const logprobs = Array.from(logits, (_, tokenId) => tokenLogprobs(logits, tokenId, 0).logprob);
        const probabilities = softmax(logits, 1);
        for (const [tokenId, logprob] of logprobs.entries())
          expect(Math.exp(logprob)).toBeCloseTo(probabilities[tokenId]!, 6);
        expect(logprobs.reduce((sum, logprob) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 6);
      }),
    );
  });

  it('have the most probable first, of equals the one with the lower id', () => {
    fc.assert(
      fc.property(anyLogits, fc.nat(20), (logits, count) => {
        const { top } = tokenLogprobs(logits, 0, count);
        const sorted = Array.from(logits, (_, tokenId) => tokenId).toSorted(
          (a, b) => logits[b]! - logits[a]! || a - b,
        );
        expect(top.map(({ tokenId }) => tokenId)).toEqual(sorted.slice(0, count));
        for (const { tokenId, logprob } of top)
          expect(logprob).toBe(tokenLogprobs(logits, tokenId, 0).logprob);
      }),
    );
  });

  it('are those of the token that was asked for, be it among the top or not', () => {
    const logits = Float32Array.of(Math.log(2), Math.log(5), Math.log(3), Math.log(5), Math.log(5));
    const { logprob, top } = tokenLogprobs(logits, 0, 2);
    expect(logprob).toBeCloseTo(Math.log(0.1), 6);
    expect(top.map(({ tokenId }) => tokenId)).toEqual([1, 3]);
    expect(top[0]!.logprob).toBeCloseTo(Math.log(0.25), 6);
  });

  it('give a token that cannot be chosen no probability', () => {
    const { logprob, top } = tokenLogprobs(Float32Array.of(0, -Infinity, 0), 1, 3);
    expect(logprob).toBe(-Infinity);
    expect(top.map(({ tokenId }) => tokenId)).toEqual([0, 2, 1]);
  });
});
