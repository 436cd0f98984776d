import { describe, expect, it } from 'vitest';
import { verifyRatios } from '../../../src/engine/verify-ratios.ts';

const rounded = (ratios: readonly number[]): number[] =>
  ratios.map((ratio) => Math.round(ratio * 1000) / 1000);

describe('verifyRatios', () => {
  it('keeps apart what even and odd widths cost, and is moved by no single measurement', () => {
    const widths = [2, 3, 4, 5, 6, 7, 8, 9];
    const ratios = [1.2, 1.4, 1.4, 1.6, 1.6, 1.8, 1.8, 2];
    const expected = [1, 1, 1.2, 1.4, 1.4, 1.6, 1.6, 1.8, 1.8, 2];
    expect(rounded(verifyRatios(widths, ratios, { least: 1 }))).toEqual(expected);
    const disturbed = ratios.with(2, 3);
    for (const [width, ratio] of verifyRatios(widths, disturbed, { least: 1 }).entries())
      expect(Math.abs(ratio - expected[width]!)).toBeLessThan(0.11);
  });

  it('goes between widths that were not measured', () => {
    const ratios = verifyRatios([2, 3, 6, 9], [1.2, 1.4, 1.6, 2], { least: 1 });
    expect(rounded(ratios)).toEqual([1, 1, 1.2, 1.4, 1.4, 1.6, 1.6, 1.8, 1.8, 2]);
  });

  it('rises less beyond nine tokens, and never falls there', () => {
    const ratios = verifyRatios([2, 3, 6, 9, 17], [1.2, 1.4, 1.6, 2, 2.4], { least: 1 });
    expect(rounded(ratios.slice(8))).toEqual([1.8, 2, 2.05, 2.1, 2.15, 2.2, 2.25, 2.3, 2.35, 2.4]);
    const disturbed = verifyRatios([2, 3, 6, 9, 17], [1.2, 1.4, 1.6, 2, 1.5], { least: 1 });
    expect(rounded(disturbed.slice(9))).toEqual(Array.from({ length: 9 }, () => 2));
  });

  it('is one line where there are not two widths of each kind', () => {
    expect(rounded(verifyRatios([2, 3], [1.2, 1.3], { least: 1 }))).toEqual([1, 1, 1.2, 1.3]);
  });

  it('takes one token for two where a single row rounds otherwise', () => {
    expect(rounded(verifyRatios([2, 3], [1.2, 1.3], { least: 2 }))).toEqual([1.2, 1.2, 1.2, 1.3]);
  });
});
