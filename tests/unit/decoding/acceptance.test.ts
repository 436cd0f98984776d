import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acceptDrafts } from '../../../src/decoding/acceptance.ts';
import { Sampler } from '../../../src/decoding/sampler.ts';
import { samplingParams } from '../../support/sampling.ts';
import { scriptedLogits, VOCAB_SIZE } from '../../support/scripted-model.ts';

/** Logits whose greatest, row by row, are those of the given tokens. */
function logitsOf(choices: readonly number[]): Float32Array {
  const logits = new Float32Array(choices.length * VOCAB_SIZE);
  for (const [row, tokenId] of choices.entries()) logits[row * VOCAB_SIZE + tokenId] = 1;
  return logits;
}

const greedy = (): Sampler => new Sampler(samplingParams(), []);
const accept = (drafts: readonly number[], choices: readonly number[]): ReturnType<typeof acceptDrafts> =>
  acceptDrafts(drafts, logitsOf(choices), greedy(), 5, VOCAB_SIZE);

describe('acceptDrafts', () => {
  it('decides one token without drafts', () => {
    expect(accept([], [9])).toEqual({ tokenIds: [9], numAccepted: 0, targetMargins: [1] });
  });

  it('adds a bonus token where every draft is accepted', () => {
    expect(accept([4, 5, 6], [4, 5, 6, 7])).toEqual({
      tokenIds: [4, 5, 6, 7],
      numAccepted: 3,
      targetMargins: [1, 1, 1, 1],
    });
  });

  it('puts what the target chooses in place of the first draft that differs, and ends there', () => {
    expect(accept([4, 5, 6], [4, 8, 6, 7])).toEqual({
      tokenIds: [4, 8],
      numAccepted: 1,
      targetMargins: [1, 1],
    });
    expect(accept([4, 5, 6], [0, 5, 6, 7])).toEqual({ tokenIds: [0], numAccepted: 0, targetMargins: [1] });
  });

  it('does not look at rows beyond those of the drafts', () => {
    expect(accept([4], [4, 5, 6, 7])).toEqual({ tokenIds: [4, 5], numAccepted: 1, targetMargins: [1, 1] });
  });

  it('decides what the target alone would: its own choices, as many as agree and one more', () => {
    const tokens = fc.array(fc.nat(3), { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(tokens, tokens, (choices, guesses) => {
        const drafts = guesses.slice(0, choices.length - 1);
        const { tokenIds, numAccepted } = accept(drafts, choices);
        expect(tokenIds).toEqual(choices.slice(0, tokenIds.length));
        expect(numAccepted).toBe(tokenIds.length - 1);
        expect(tokenIds.slice(0, -1)).toEqual(drafts.slice(0, numAccepted));
        expect(tokenIds.at(-1)).not.toBe(drafts[numAccepted]);
      }),
    );
  });

  it('draws the noise of each position', () => {
    const params = samplingParams({ temperature: 1.5, seed: 7 });
    const row = scriptedLogits(99);
    const logits = new Float32Array(4 * VOCAB_SIZE);
    for (let index = 0; index < 4; index += 1) logits.set(row, index * VOCAB_SIZE);
    const sampler = new Sampler(params, []);
    const chosen = [5, 6, 7, 8].map((position) => sampler.choose(row, position));
    expect(new Set(chosen).size).toBeGreaterThan(1);
    const { tokenIds } = acceptDrafts(chosen.slice(0, 3), logits, sampler, 5, VOCAB_SIZE);
    expect(tokenIds).toEqual(chosen);
  });

  it('counts the decided tokens in the history, and only those', () => {
    const sampler = new Sampler(samplingParams({ presencePenalty: 2 }), []);
    acceptDrafts([4, 5], logitsOf([4, 8, 6]), sampler, 5, VOCAB_SIZE);
    const scores = new Float32Array(VOCAB_SIZE).fill(-10);
    for (const [tokenId, score] of [
      [4, 1],
      [8, 0.9],
      [5, 0.5],
      [6, 0.4],
    ] as const)
      scores[tokenId] = score;
    expect(sampler.choose(scores, 9)).toBe(5);
  });
});
