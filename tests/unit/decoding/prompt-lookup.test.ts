import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_MATCH, NOTHING_FOUND, PromptLookup } from '../../../src/decoding/prompt-lookup.ts';

const VOCAB_SIZE = 150_000;

function lookupOf(tokenIds: readonly number[]): PromptLookup {
  const lookup = new PromptLookup(VOCAB_SIZE);
  lookup.push(tokenIds);
  return lookup;
}

describe('PromptLookup', () => {
  it('proposes what followed the same tokens before', () => {
    expect(lookupOf([9, 1, 2, 3, 4, 5, 6, 8, 1, 2, 3]).find(3)).toEqual({
      tokenIds: [4, 5, 6],
      matchLength: 3,
    });
  });

  it('takes the latest such place, and says how much is the same', () => {
    expect(lookupOf([1, 2, 3, 4, 1, 2, 3, 7, 7, 2, 3, 4, 1, 2, 3]).find(1)).toEqual({
      tokenIds: [7],
      matchLength: 6,
    });
  });

  it('goes on into itself where the text has begun to repeat', () => {
    expect(lookupOf([5, 1, 2, 1, 2, 1, 2]).find(5)).toEqual({ tokenIds: [1, 2, 1, 2, 1], matchLength: 4 });
    expect(lookupOf(Array<number>(60).fill(3)).find(4)).toEqual({
      tokenIds: [3, 3, 3, 3],
      matchLength: MAX_MATCH,
    });
  });

  it('finds nothing where less than three tokens are the same', () => {
    expect(lookupOf([1, 2, 5, 1, 2]).find(4)).toEqual(NOTHING_FOUND);
    expect(lookupOf([1, 2]).find(4)).toEqual(NOTHING_FOUND);
    expect(lookupOf([1, 2, 3]).find(4)).toEqual(NOTHING_FOUND);
  });

  it('tells tokens of a large vocabulary apart', () => {
    const last = VOCAB_SIZE - 1;
    expect(lookupOf([last, last, last - 1, 7, last, last, last]).find(1)).toEqual(NOTHING_FOUND);
    expect(lookupOf([last, last, last - 1, 7, last, last, last - 1]).find(1).tokenIds).toEqual([7]);
  });

  it('finds what a search through the whole text finds, however the text came in', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(2), { maxLength: 40 }),
        fc.nat(40),
        fc.integer({ min: 1, max: 8 }),
        (text, cut, maxTokens) => {
          const lookup = lookupOf(text.slice(0, cut));
          lookup.push(text.slice(cut));
          const end = text.length;
          const same = (follower: number, count: number): boolean =>
            follower >= count &&
            Array.from(
              { length: count },
              (_, back) => text[follower - 1 - back] === text[end - 1 - back],
            ).every(Boolean);
          const followers = [...text.keys()].filter((follower) => same(follower, 3));
          const follower = followers.at(-1);
          const lengths = Array.from({ length: MAX_MATCH + 1 }, (_, length) => length);
          const expected =
            follower === undefined
              ? NOTHING_FOUND
              : {
                  matchLength: lengths.findLast((length) => same(follower, length)),
                  tokenIds: Array.from(
                    { length: maxTokens },
                    (_, index) => text[follower + (index % (end - follower))],
                  ),
                };
          expect(lookup.find(maxTokens)).toEqual(expected);
        },
      ),
    );
  });
});
