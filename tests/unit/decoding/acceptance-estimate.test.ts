import { describe, expect, it } from 'vitest';
import { AcceptanceEstimate, type RoundDrafts } from '../../../src/decoding/acceptance-estimate.ts';

const HALVES = Array<number>(11).fill(0.5);

const drafts = (
  margins: readonly number[],
  numAccepted: number,
  targetMargins = Array<number>(numAccepted + 1).fill(1),
): RoundDrafts => ({
  numDraftTokens: margins.length,
  matchLength: 0,
  isEarlier: false,
  margins,
  numAccepted,
  numRight: numAccepted,
  targetMargins,
});

describe('AcceptanceEstimate', () => {
  const positions = (estimate: AcceptanceEstimate, count: number): number[] =>
    Array.from({ length: count }, (_, position) => estimate.atPosition(position));

  it('learns of the positions that were reached, and of no others', () => {
    const estimate = new AcceptanceEstimate([0.5, 0.5, 0.5, 0.5], HALVES);
    estimate.record(drafts([1, 1, 1], 1));
    expect(positions(estimate, 4)).toEqual([0.5 + 0.06 * 0.5, 0.5 - 0.06 * 0.5, 0.5, 0.5]);
    const all = new AcceptanceEstimate([0.5, 0.5, 0.5], HALVES);
    all.record(drafts([1, 1], 2));
    all.record(drafts([], 0));
    expect(positions(all, 3)).toEqual([0.53, 0.53, 0.5]);
  });

  it('learns of the margins of drafts that were reached', () => {
    const estimate = new AcceptanceEstimate([0.5, 0.5, 0.5], HALVES);
    estimate.record(drafts([5, 0.05, Infinity], 1));
    expect(estimate.withMargin(4.5)).toBe(0.53);
    expect(estimate.withMargin(0)).toBe(0.47);
    expect(estimate.withMargin(100)).toBe(0.5);
  });

  it('learns of the first draft that was not verified, where all before it were accepted', () => {
    const estimate = new AcceptanceEstimate([0.5, 0.5, 0.5], HALVES);
    const unverified = { ...drafts([5, 0.05, 3], 1, [1, 1]), numDraftTokens: 1 };
    estimate.record({ ...unverified, numRight: 2 });
    expect(positions(estimate, 3)).toEqual([0.53, 0.53, 0.5]);
    expect(estimate.withMargin(0)).toBe(0.53);
    estimate.record({ ...unverified, numRight: 1 });
    expect(estimate.withMargin(0)).toBeCloseTo(0.53 - 0.06 * 0.53);
    estimate.record({ ...unverified, numAccepted: 0, numRight: 0 });
    expect(estimate.withMargin(0)).toBeCloseTo(0.53 - 0.06 * 0.53);
  });

  it('knows what a draft may turn out to be', () => {
    const estimate = new AcceptanceEstimate(
      [0.5],
      Array.from({ length: 11 }, (_, index) => (index < 5 ? 0.2 : 0.8)),
    );
    for (let round = 0; round < 300; round += 1) estimate.record(drafts([round % 4 === 0 ? 0.05 : 10], 1));
    const seen: number[] = [];
    const mean = estimate.expected(0.6, (acceptance) => {
      seen.push(acceptance);
      return acceptance;
    });
    expect(mean).toBeCloseTo(0.6);
    expect(seen[1]!).toBeLessThan(seen[10]!);
    // An unsure draft in four.
    expect(estimate.expected(0.6, (acceptance) => Number(acceptance === seen[0]))).toBeCloseTo(0.25, 1);
    expect(estimate.expected(1, () => 1)).toBeCloseTo(1);
  });

  it('learns of how sure the target was where a draft was reached', () => {
    const estimate = new AcceptanceEstimate([0.5, 0.5, 0.5], HALVES);
    estimate.record(drafts([1, 1, 1], 1, [5, 0.05]));
    expect(estimate.withTargetMargin(4.5)).toBe(0.53);
    expect(estimate.withTargetMargin(0)).toBe(0.47);
    estimate.record(drafts([1], 1, [5, 0.05]));
    // What comes after the last draft has none in its place.
    expect(estimate.withTargetMargin(0)).toBe(0.47);
  });

  it('expects more of sure drafts before it has seen any', () => {
    const estimate = AcceptanceEstimate.prior(1);
    const rates = [0, 0.2, 0.7, 1.2, 2.5, 5, 50].map((margin) => estimate.withMargin(margin));
    expect(rates).toEqual(rates.toSorted((a, b) => a - b));
    expect(new Set(rates).size).toBe(rates.length);
    expect(rates.at(-1)).toBeLessThan(1);
  });

  it('comes close to what is accepted', () => {
    const estimate = AcceptanceEstimate.prior(2);
    for (let round = 0; round < 300; round += 1) estimate.record(drafts([1, 3], round % 2));
    expect(estimate.atPosition(0)).toBeCloseTo(0.5, 1);
    expect(estimate.atPosition(1)).toBeCloseTo(0, 1);
    expect(estimate.withMargin(1)).toBeCloseTo(0.5, 1);
    expect(estimate.withMargin(3)).toBeCloseTo(0, 1);
  });

  it('learns of looked-up drafts by whose text the match before them is in, and its length, which grows', () => {
    const halves = Array<number>(6).fill(0.5);
    const estimate = new AcceptanceEstimate([0.5], HALVES, HALVES, halves, undefined, halves);
    const round = { numDraftTokens: 3, matchLength: 3, margins: [], targetMargins: [1, 1] };
    estimate.record({ ...round, isEarlier: false, numAccepted: 1, numRight: 1 });
    const after = (isEarlier: boolean): number[] =>
      [3, 4, 5].map((length) => estimate.afterMatch(length, isEarlier));
    expect(after(false)).toEqual([0.53, 0.47, 0.5]);
    expect(after(true)).toEqual([0.5, 0.5, 0.5]);
    estimate.record({ ...round, isEarlier: true, numAccepted: 0, numRight: 0 });
    expect(after(true)).toEqual([0.47, 0.5, 0.5]);
    expect(after(false)).toEqual([0.53, 0.47, 0.5]);
    expect(estimate.atPosition(0)).toBe(0.5);
  });

  it('begins a sequence with what it learned, a little less sure of it', () => {
    const shared = AcceptanceEstimate.prior(2);
    const prior = shared.atPosition(0);
    for (let round = 0; round < 100; round += 1) shared.record(drafts([1, 1], 0));
    const learned = shared.atPosition(0);
    const priorAfterMatch = shared.afterMatch(3, true);
    const round = { numDraftTokens: 1, matchLength: 3, isEarlier: true, margins: [], targetMargins: [1] };
    shared.record({ ...round, numAccepted: 0, numRight: 0 });
    const own = shared.forSequence();
    expect(own.atPosition(0)).toBeCloseTo(learned + 0.1 * (prior - learned), 10);
    expect(own.afterMatch(3, true)).toBeCloseTo((0.1 + 0.9 * 0.94) * priorAfterMatch, 10);
    own.record(drafts([1, 1], 2));
    expect(shared.atPosition(0)).toBe(learned);
  });
});
