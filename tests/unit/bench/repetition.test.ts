import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { distinct4, loopPeriod, MIN_REPEATED_TOKENS } from '../../../scripts/bench/repetition.ts';

/** As many different ids as asked for. */
const different = (length: number, first = 1000): number[] =>
  Array.from({ length }, (_, index) => first + index);
/** `length` tokens of period `period`. */
const periodic = (period: number, length: number): number[] =>
  Array.from({ length }, (_, index) => index % period);

describe('distinct4', () => {
  it.each([
    ['a text without repeats', different(20), 1],
    ['four tokens', [7, 7, 7, 7], 1],
    ['fewer', [7, 7], 1],
    ['one token again and again', periodic(1, 13), 0.1],
    ['two in turn', periodic(2, 13), 0.2],
  ])('of %s', (_, tokenIds, share) => {
    expect(distinct4(tokenIds)).toBeCloseTo(share);
  });
});

describe('loopPeriod', () => {
  it.each([1, 2, 7, 31, 32])('finds period %i once 32 tokens are repeated', (period) => {
    const text = [...different(20), ...periodic(period, period + MIN_REPEATED_TOKENS)];
    expect(loopPeriod(text)).toBe(period);
    expect(loopPeriod(text.slice(0, -1))).toBeNull();
  });

  it.each([1, 32, 60])('finds period %i where it is the whole text', (period) => {
    const text = periodic(period, period + Math.max(period, MIN_REPEATED_TOKENS));
    expect(loopPeriod(text)).toBe(period);
    expect(loopPeriod(text.slice(1))).toBeNull();
  });

  it('wants a longer period twice in full', () => {
    expect(loopPeriod([...different(5), ...periodic(50, 100)])).toBe(50);
    expect(loopPeriod([...different(5), ...periodic(50, 99)])).toBeNull();
  });

  it('gives the shortest period, not a multiple of it', () => {
    expect(loopPeriod(periodic(3, 256))).toBe(3);
  });

  it('finds a loop that the text leaves again', () => {
    expect(loopPeriod([...different(20), ...periodic(4, 40), ...different(60, 2000)])).toBe(4);
  });

  it('does not take together what another token interrupts', () => {
    expect(loopPeriod([...periodic(4, 34), 99, ...periodic(4, 34)])).toBeNull();
  });

  it('does not take lines that count up for a loop', () => {
    const lines = different(20).flatMap((counter) => [1, 2, counter, 3, 4]);
    expect(loopPeriod(lines)).toBeNull();
  });

  it.each([[[]], [[1]], [different(300)]])('is null for a text without repeats', (tokenIds) => {
    expect(loopPeriod(tokenIds)).toBeNull();
  });

  it('finds every long enough loop wherever it stands, and gives no longer a period', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.nat(50),
        fc.nat(50),
        fc.nat(50),
        (period, numBefore, numMore, numAfter) => {
          const loop = periodic(period, period + Math.max(period, MIN_REPEATED_TOKENS) + numMore);
          expect(loopPeriod([...different(numBefore), ...loop, ...different(numAfter, 2000)])).toBe(period);
        },
      ),
    );
  });
});
