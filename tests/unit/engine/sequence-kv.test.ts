import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  commonPrefixLength,
  covers,
  earlierTextFor,
  MAX_EARLIER_TOKENS,
  numReusablePositions,
} from '../../../src/engine/sequence-kv.ts';
import { sequenceKv } from '../../support/sequence-kv.ts';

/** Two token ids, so that prefixes are often shared. */
const ids = fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 1, maxLength: 12 });

const sequence = ids.chain((tokenIds) =>
  fc
    .tuple(fc.nat(tokenIds.length - 1), fc.option(fc.nat(tokenIds.length - 1)))
    .map(([numHeld, numMtpHeld]) =>
      sequenceKv(tokenIds, numHeld, numMtpHeld === null ? null : Math.min(numHeld, numMtpHeld)),
    ),
);

it('commonPrefixLength counts to the first difference', () => {
  fc.assert(
    fc.property(ids, ids, (one, other) => {
      const length = commonPrefixLength(one, other);
      expect(one.slice(0, length)).toEqual(other.slice(0, length));
      const isWhole = length === Math.min(one.length, other.length);
      expect(isWhole || one[length] !== other[length]).toBe(true);
      expect(commonPrefixLength(other, one)).toBe(length);
    }),
  );
});

describe('numReusablePositions', () => {
  it('takes over all that is valid for a prompt, and leaves the last common token to be computed', () => {
    fc.assert(
      fc.property(sequence, ids, fc.boolean(), (kv, prompt, isDrafting) => {
        // By trial: position i needs the tokens up to i; beside it, the MTP module's needs that at i + 1.
        let expected = 0;
        for (let count = 1; count < prompt.length; count += 1) {
          const isHeld = count <= (isDrafting ? (kv.mtp?.length ?? 0) : kv.target.length);
          const isAlike = prompt
            .slice(0, count + 1)
            .every((tokenId, index) => tokenId === kv.tokenIds[index]);
          if (isHeld && isAlike) expected = count;
        }
        expect(numReusablePositions(kv, prompt, isDrafting)).toBe(expected);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['the same prompt', [1, 2, 3, 4], 3],
    ['a longer one', [1, 2, 3, 4, 5, 6, 7], 4],
    ['one that goes on with the latest token, which is not cached itself', [1, 2, 3, 4, 5, 9], 4],
    ['one that differs in its third token', [1, 2, 9, 4], 1],
    ['one that differs at once', [9, 2, 3], 0],
    ['a lone token', [1], 0],
  ])('of %s', (_, prompt, expected) => {
    expect(numReusablePositions(sequenceKv([1, 2, 3, 4, 5]), prompt, true)).toBe(expected);
  });

  it('is bounded by the MTP module only where there is drafting', () => {
    const kv = sequenceKv([1, 2, 3, 4, 5], 4, 2);
    expect(numReusablePositions(kv, [1, 2, 3, 4, 5], true)).toBe(2);
    expect(numReusablePositions(kv, [1, 2, 3, 4, 5], false)).toBe(4);
    expect(numReusablePositions(sequenceKv([1, 2, 3], 2, null), [1, 2, 3], true)).toBe(0);
  });
});

describe('earlierTextFor', () => {
  const range = (length: number, first = 0): number[] => Array.from({ length }, (_, index) => first + index);
  const kv = sequenceKv([...range(60), 7, 8, 9]);

  it('is what a sequence went on with, from a match before the two part', () => {
    expect(earlierTextFor(kv, range(60))).toEqual([...range(24, 36), 7, 8, 9]);
    expect(earlierTextFor(kv, [...range(40), 100, 101])).toEqual([...range(44, 16), 7, 8, 9]);
    expect(earlierTextFor(sequenceKv([1, 2, 3]), [1, 2, 3])).toEqual([1, 2, 3]);
  });

  it('is nothing where the two have less than half of the prompt in common', () => {
    expect(earlierTextFor(kv, [...range(30), ...range(30, 100)])).not.toEqual([]);
    expect(earlierTextFor(kv, [...range(30), ...range(31, 100)])).toEqual([]);
  });

  it('goes on with what the sequence itself knew of earlier ones, up to a limit', () => {
    const heir = { ...kv, earlierText: range(5, 200) };
    expect(earlierTextFor(heir, range(60))).toEqual([...range(5, 200), ...range(24, 36), 7, 8, 9]);
    const full = { ...kv, earlierText: range(MAX_EARLIER_TOKENS) };
    const text = earlierTextFor(full, range(60));
    expect(text.length).toBe(MAX_EARLIER_TOKENS);
    expect(text.slice(-3)).toEqual([7, 8, 9]);
  });
});

it('covers says that no prompt would find more in the other, a token aside', () => {
  fc.assert(
    fc.property(sequence, sequence, ids, fc.boolean(), (one, other, prompt, isDrafting) => {
      fc.pre(covers(one, other));
      expect(numReusablePositions(one, prompt, isDrafting)).toBeGreaterThanOrEqual(
        numReusablePositions(other, prompt, isDrafting) - 1,
      );
    }),
    { numRuns: 1000 },
  );
  expect(covers(sequenceKv([1, 2, 3, 4]), sequenceKv([1, 2, 3]))).toBe(true);
  expect(covers(sequenceKv([1, 2, 3]), sequenceKv([1, 2, 3, 4]))).toBe(false);
  expect(covers(sequenceKv([1, 2, 3, 4], 3, 1), sequenceKv([1, 2, 3], 2, 2))).toBe(false);
});
