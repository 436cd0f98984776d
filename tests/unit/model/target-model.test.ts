import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  decidingWidth,
  padded,
  PADDING_TOKEN_ID,
  type ExactWidths,
} from '../../../src/model/target-model.ts';

it.each([
  [1, 1, 1, 1],
  [5, 1, 1, 5],
  [1, 2, 1, 2],
  [2, 2, 1, 2],
  [3, 2, 1, 3],
  [1, 2, 2, 2],
  [3, 2, 2, 4],
  [4, 2, 2, 4],
] as const)(
  'decides %i tokens, at least %i in multiples of %i, at width %i',
  (numTokens, least, multiple, width) => {
    expect(decidingWidth(numTokens, { least, multiple })).toBe(width);
    const tokenIds = Array.from({ length: numTokens }, (_, index) => index + 7);
    const padding = Array<number>(width - numTokens).fill(PADDING_TOKEN_ID);
    expect(padded(tokenIds, { least, multiple })).toEqual([...tokenIds, ...padding]);
  },
);

const allWidths: ExactWidths[] = [
  { least: 1, multiple: 1 },
  { least: 2, multiple: 1 },
  { least: 2, multiple: 2 },
];

it('is a multiple, wide enough, and pads by one token at most', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), fc.constantFrom(...allWidths), (numTokens, widths) => {
      const width = decidingWidth(numTokens, widths);
      expect(width % widths.multiple).toBe(0);
      expect(width).toBeGreaterThanOrEqual(Math.max(numTokens, widths.least));
      expect(width - numTokens).toBeLessThanOrEqual(1);
    }),
  );
});
