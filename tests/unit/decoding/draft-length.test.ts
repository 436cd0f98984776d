import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AcceptanceEstimate, DraftLength } from '../../../src/decoding/draft-length.ts';
import { StepCosts } from '../../../src/decoding/step-costs.ts';

const MAX_DRAFTS = 8;

/** A wider verify costs `widthSeconds` a token, a draft `draftSeconds`; a plain step costs 1. */
const linearCosts = (widthSeconds: number, draftSeconds: number): StepCosts =>
  new StepCosts({
    lengths: [16],
    plainSeconds: [1],
    verifyRatios: Array.from({ length: MAX_DRAFTS + 2 }, (_, width) => 1 + widthSeconds * width),
    draftSeconds: Array.from({ length: MAX_DRAFTS + 1 }, (_, count) => count * draftSeconds),
  });

const withRate = (rate: number, costs: StepCosts): DraftLength =>
  new DraftLength(new AcceptanceEstimate(Array<number>(MAX_DRAFTS).fill(rate)), costs);

const cheap = linearCosts(0.05, 0.05);
const dear = linearCosts(0.1, 5);

describe('DraftLength', () => {
  it('drafts more the more is accepted', () => {
    const depths = [0.01, 0.3, 0.6, 0.8, 0.95, 1].map((rate) => withRate(rate, cheap).choose(MAX_DRAFTS, 16));
    expect(depths).toEqual(depths.toSorted((a, b) => a - b));
    expect(depths[0]).toBe(0);
    expect(new Set(depths).size).toBeGreaterThan(3);
    expect(depths.at(-1)).toBe(MAX_DRAFTS);
  });

  it('does not draft where drafts cost more than they bring', () => {
    expect(withRate(1, dear).choose(MAX_DRAFTS, 16)).toBe(0);
  });

  it('never drafts more than allowed', () => {
    fc.assert(
      fc.property(
        fc.nat(MAX_DRAFTS),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 2, noNaN: true }),
        (maxDrafts, rate, draftSeconds) => {
          const draftLength = withRate(rate, linearCosts(0.1, draftSeconds));
          for (let round = 0; round < 60; round += 1)
            expect(draftLength.choose(maxDrafts, 16)).toBeLessThanOrEqual(maxDrafts);
        },
      ),
    );
    expect(withRate(1, cheap).choose(0, 16)).toBe(0);
  });

  it('takes the depth with the most expected tokens a second', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), {
          minLength: MAX_DRAFTS,
          maxLength: MAX_DRAFTS,
        }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        (rates, widthSeconds, draftSeconds) => {
          const tokensPerSecond = (depth: number): number => {
            const reached = rates.slice(0, depth).map((_, last) => rates.slice(0, last + 1));
            const accepted = reached.map((before) => before.reduce((product, rate) => product * rate, 1));
            const tokens = accepted.reduce((sum, probability) => sum + probability, 1);
            return tokens / (1 + widthSeconds * Math.max(2, depth + 1) + depth * draftSeconds);
          };
          const costs = linearCosts(widthSeconds, draftSeconds);
          const chosen = new DraftLength(new AcceptanceEstimate(rates), costs).choose(MAX_DRAFTS, 16);
          for (let depth = 0; depth <= MAX_DRAFTS; depth += 1)
            expect(tokensPerSecond(chosen)).toBeGreaterThanOrEqual(tokensPerSecond(depth) - 1e-9);
        },
      ),
    );
  });

  it('tries one draft again every 24th round', () => {
    const draftLength = withRate(1, dear);
    const depths = Array.from({ length: 50 }, () => draftLength.choose(MAX_DRAFTS, 16));
    const probes = depths.flatMap((depth, round) => (depth > 0 ? [[round, depth]] : []));
    expect(probes).toEqual([
      [23, 1],
      [47, 1],
    ]);
  });

  it('stops drafting when nothing is accepted, and begins again when it is', () => {
    const draftLength = new DraftLength(AcceptanceEstimate.prior(MAX_DRAFTS), cheap);
    expect(draftLength.choose(4, 16)).toBeGreaterThan(0);
    for (let round = 0; round < 200; round += 1) draftLength.record(4, 0);
    expect(draftLength.choose(4, 16)).toBe(0);
    for (let round = 0; round < 200; round += 1) draftLength.record(4, 4);
    expect(draftLength.choose(4, 16)).toBe(4);
  });
});

describe('AcceptanceEstimate', () => {
  it('learns of the positions that were reached, and of no others', () => {
    const estimate = new AcceptanceEstimate([0.5, 0.5, 0.5, 0.5]);
    estimate.record(3, 1);
    expect(estimate.rates).toEqual([0.5 + 0.06 * 0.5, 0.5 - 0.06 * 0.5, 0.5, 0.5]);
    const all = new AcceptanceEstimate([0.5, 0.5, 0.5]);
    all.record(2, 2);
    expect(all.rates).toEqual([0.53, 0.53, 0.5]);
    all.record(0, 0);
    expect(all.rates).toEqual([0.53, 0.53, 0.5]);
  });

  it('comes close to what is accepted', () => {
    const estimate = AcceptanceEstimate.prior(2);
    for (let round = 0; round < 300; round += 1) estimate.record(2, round % 2);
    expect(estimate.rates[0]).toBeCloseTo(0.5, 1);
    expect(estimate.rates[1]).toBeCloseTo(0, 1);
  });

  it('does not share the rates it began with', () => {
    const shared = AcceptanceEstimate.prior(2);
    new AcceptanceEstimate(shared.rates).record(2, 0);
    expect(shared.rates).toEqual(AcceptanceEstimate.prior(2).rates);
  });
});
