import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MAX_MATCH,
  NOTHING_FOUND,
  PromptLookup,
  type LookedUp,
} from '../../../src/decoding/prompt-lookup.ts';

const VOCAB_SIZE = 150_000;

const own = (tokenIds: number[], matchLength: number): LookedUp => ({
  tokenIds,
  matchLength,
  isEarlier: false,
});
const earlier = (tokenIds: number[], matchLength: number): LookedUp => ({
  tokenIds,
  matchLength,
  isEarlier: true,
});

function lookupOf(tokenIds: readonly number[], earlierText?: readonly number[]): PromptLookup {
  const lookup = new PromptLookup(VOCAB_SIZE, earlierText);
  lookup.push(tokenIds);
  return lookup;
}

describe('PromptLookup', () => {
  it('proposes what followed the same tokens before', () => {
    expect(lookupOf([9, 1, 2, 3, 4, 5, 6, 8, 1, 2, 3]).find(3)).toEqual(own([4, 5, 6], 3));
  });

  it('takes the place where most is the same, the latest of those, and says how much', () => {
    expect(lookupOf([1, 2, 3, 4, 1, 2, 3, 7, 7, 2, 3, 4, 1, 2, 3]).find(1)).toEqual(own([7], 6));
    expect(lookupOf([8, 1, 2, 3, 4, 9, 1, 2, 3, 5, 8, 1, 2, 3]).find(1)).toEqual(own([4], 4));
    expect(lookupOf([8, 1, 2, 3, 4, 8, 1, 2, 3, 5, 8, 1, 2, 3]).find(1)).toEqual(own([5], 4));
  });

  it('goes on into itself where the text has begun to repeat', () => {
    expect(lookupOf([5, 1, 2, 1, 2, 1, 2]).find(5)).toEqual(own([1, 2, 1, 2, 1], 4));
    expect(lookupOf(Array<number>(60).fill(3)).find(4)).toEqual(own([3, 3, 3, 3], MAX_MATCH));
  });

  it('proposes what an earlier text went on with, as far as it goes', () => {
    expect(lookupOf([0, 1, 2, 3], [1, 2, 3, 4, 5]).find(3)).toEqual(earlier([4, 5], 3));
    // What this text does not go on with is no match of it.
    expect(lookupOf([0, 1, 2, 3], [4, 5, 1, 2, 3]).find(3)).toEqual(NOTHING_FOUND);
  });

  it('prefers the longer match of the two, and the earlier text where they are equal', () => {
    const text = [8, 1, 2, 3, 4, 7, 7, 8, 1, 2, 3];
    expect(lookupOf(text, [1, 2, 3, 5]).find(1)).toEqual(own([4], 4));
    expect(lookupOf(text, [8, 1, 2, 3, 5]).find(1)).toEqual(earlier([5], 4));
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
          // Of the places that are looked at: the sixteen latest.
          const followers = [...text.keys()].filter((place) => same(place, 3)).slice(-16);
          const lengths = Array.from({ length: MAX_MATCH + 1 }, (_, length) => length);
          const matchLength = lengths.findLast((length) => followers.some((place) => same(place, length)))!;
          const follower = followers.findLast((place) => same(place, matchLength));
          const expected =
            follower === undefined
              ? NOTHING_FOUND
              : own(
                  Array.from(
                    { length: maxTokens },
                    (_, index) => text[follower + (index % (end - follower))]!,
                  ),
                  matchLength,
                );
          expect(lookup.find(maxTokens)).toEqual(expected);
        },
      ),
    );
  });
});
