import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clippedMean, median, robustLine } from '../../../src/decoding/robust-statistics.ts';

describe('median', () => {
  it.each([
    [[3], 3],
    [[5, 1, 3], 3],
    [[4, 1, 3, 2], 2.5],
    [[10, 9, 100], 10],
  ])('of %j is %f', (values, expected) => {
    expect(median(values)).toBe(expected);
  });
});

it('refuses no values at all', () => {
  expect(() => median([])).toThrow('expected at least one value');
  expect(() => clippedMean([])).toThrow('expected at least one value');
  expect(() => robustLine([2], [1])).toThrow('expected at least one value');
});

describe('clippedMean', () => {
  it('is the mean where nothing exceeds twice the median', () => {
    expect(clippedMean([1, 2, 3, 4])).toBe(2.5);
  });

  it('counts what exceeds twice the median as that', () => {
    expect(clippedMean([2, 2, 2, 1000])).toBe(2.5);
  });

  it('lies between the least value and twice the median', () => {
    const times = fc.array(fc.double({ min: 1e-6, max: 1e3, noNaN: true }), { minLength: 1 });
    fc.assert(
      fc.property(times, (values) => {
        expect(clippedMean(values)).toBeGreaterThanOrEqual(Math.min(...values) * (1 - 1e-9));
        expect(clippedMean(values)).toBeLessThanOrEqual(2 * median(values) * (1 + 1e-9));
      }),
    );
  });
});

describe('robustLine', () => {
  it('finds the line that the points lie on', () => {
    expect(robustLine([2, 3, 5, 9], [7, 10, 16, 28])).toEqual({ slope: 3, intercept: 1 });
  });

  it('is not moved by one wild point', () => {
    const line = robustLine([2, 3, 4, 5, 6, 7, 8], [5, 7, 9, 900, 13, 15, 17]);
    expect(line.slope).toBeCloseTo(2, 12);
    expect(line.intercept).toBeCloseTo(1, 12);
  });
});
