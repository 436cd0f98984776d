import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decidingWidth, MIN_DECIDING_WIDTH } from '../../../src/model/target-model.ts';

it.each([
  [1, 1, 2],
  [2, 1, 2],
  [3, 1, 3],
  [1, 2, 2],
  [3, 2, 4],
  [4, 2, 4],
])('decides %i tokens in multiples of %i at width %i', (numTokens, multiple, width) => {
  expect(decidingWidth(numTokens, multiple)).toBe(width);
});

it('is a multiple, wide enough, and pads by one token at most', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), fc.constantFrom(1, 2), (numTokens, multiple) => {
      const width = decidingWidth(numTokens, multiple);
      expect(width % multiple).toBe(0);
      expect(width).toBeGreaterThanOrEqual(Math.max(numTokens, MIN_DECIDING_WIDTH));
      expect(width - numTokens).toBeLessThanOrEqual(1);
    }),
  );
});
