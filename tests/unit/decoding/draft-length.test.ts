import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AcceptanceEstimate } from '../../../src/decoding/acceptance-estimate.ts';
import { DraftLength } from '../../../src/decoding/draft-length.ts';
import { fixedDepth, type DraftPlan } from '../../../src/decoding/draft-plan.ts';
import { StepCosts } from '../../../src/decoding/step-costs.ts';

const MAX_DRAFTS = 8;
const NUM_MARGINS = 11;
const SURE = 10;
const UNSURE = 0.01;

/** A wider verify costs `widthSeconds` a token, a draft `draftSeconds`; a plain step costs 1, and decides nothing. */
const linearCosts = (widthSeconds: number, draftSeconds: number): StepCosts =>
  new StepCosts({
    lengths: [16],
    plainSeconds: [1],
    verifyRatios: Array.from({ length: MAX_DRAFTS + 2 }, (_, width) => 1 + widthSeconds * Math.max(2, width)),
    draftSeconds: Array.from({ length: MAX_DRAFTS + 1 }, (_, count) => count * draftSeconds),
  });

/** Every draft is accepted at `rate`, or at the rate of its position, whatever its margin. */
function withRates(rates: number | readonly number[], costs: StepCosts): DraftLength {
  const positions = typeof rates === 'number' ? Array<number>(MAX_DRAFTS).fill(rates) : rates;
  const margins = Array<number>(NUM_MARGINS).fill(typeof rates === 'number' ? rates : 1);
  return new DraftLength(new AcceptanceEstimate(positions, margins), costs);
}

/** Drafts as long as the plan wants, each with the next of `margins`, then with the last of them. */
function drafted(plan: DraftPlan, margins: readonly number[] = [SURE]): number[] {
  const made: number[] = [];
  while (plan.wantsAnother(made)) made.push(margins[Math.min(made.length, margins.length - 1)]!);
  return made;
}

const depthOf = (draftLength: DraftLength, maxDrafts = MAX_DRAFTS): number => {
  const plan = draftLength.plan(maxDrafts, 16);
  return plan.numToVerify(drafted(plan));
};

/** Of rounds in which the target is sure throughout. */
const AT_16 = {
  contextLength: 16,
  matchLength: 0,
  isEarlier: false,
  targetMargins: Array<number>(MAX_DRAFTS + 1).fill(SURE),
};

const cheap = linearCosts(0.05, 0.05);
const dear = linearCosts(0.1, 5);

describe('DraftLength', () => {
  it('drafts more the more is accepted', () => {
    const depths = [0.01, 0.3, 0.6, 0.8, 0.95, 1].map((rate) => depthOf(withRates(rate, cheap)));
    expect(depths).toEqual(depths.toSorted((a, b) => a - b));
    expect(depths[0]).toBe(0);
    expect(new Set(depths).size).toBeGreaterThan(3);
    expect(depths.at(-1)).toBe(MAX_DRAFTS);
  });

  it('drafts more where a round is dear beside its forwards', () => {
    const costs = linearCosts(0.05, 0.05);
    const before = depthOf(withRates(0.8, costs));
    costs.observeRound(2);
    expect(depthOf(withRates(0.8, costs))).toBeGreaterThan(before);
  });

  it('does not take one lucky round for what rounds can reach', () => {
    const draftLength = withRates(0.75, cheap);
    const before = depthOf(draftLength);
    expect(before).toBeGreaterThan(1);
    const margins = Array<number>(MAX_DRAFTS).fill(SURE);
    draftLength.record({
      ...AT_16,
      numDrafted: MAX_DRAFTS,
      numDraftTokens: MAX_DRAFTS,
      margins,
      numAccepted: MAX_DRAFTS,
      numRight: MAX_DRAFTS,
    });
    expect(depthOf(draftLength)).toBeGreaterThanOrEqual(before);
  });

  it('does not draft where drafts cost more than they bring', () => {
    expect(depthOf(withRates(1, dear))).toBe(0);
  });

  it('never drafts more than allowed, nor verifies more than it drafted', () => {
    fc.assert(
      fc.property(
        fc.nat(MAX_DRAFTS),
        fc.array(fc.double({ min: 0, max: 12, noNaN: true }), { minLength: 1, maxLength: MAX_DRAFTS }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 2, noNaN: true }),
        (maxDrafts, margins, rate, draftSeconds) => {
          const draftLength = withRates(rate, linearCosts(0.1, draftSeconds));
          for (let round = 0; round < 60; round += 1) {
            const plan = draftLength.plan(maxDrafts, 16);
            const made = drafted(plan, margins);
            const numToVerify = plan.numToVerify(made);
            expect(made.length).toBeLessThanOrEqual(maxDrafts);
            expect(numToVerify).toBeLessThanOrEqual(made.length);
            draftLength.record({
              ...AT_16,
              numDrafted: made.length,
              numDraftTokens: numToVerify,
              margins: made,
              numAccepted: numToVerify >> 1,
              numRight: numToVerify >> 1,
            });
          }
        },
      ),
    );
  });

  it('reaches more tokens a second than any fixed depth where sure drafts are right and unsure ones wrong', () => {
    const costs = linearCosts(0.2, 0.15);
    // Sure drafts for a stretch of the text, unsure ones for the next.
    const stretches = Array.from({ length: 4000 }, (_, token) => (token % 40 < 20 ? SURE : UNSURE));
    const tokensPerSecond = (planOf: (length: number) => DraftPlan, draftLength?: DraftLength): number => {
      let token = 0;
      let seconds = 0;
      while (token < stretches.length) {
        const plan = planOf(16);
        const made: number[] = [];
        while (plan.wantsAnother(made)) made.push(stretches[token + made.length] ?? UNSURE);
        const margins = made.slice(0, plan.numToVerify(made));
        const wrong = margins.indexOf(UNSURE);
        const numAccepted = wrong === -1 ? margins.length : wrong;
        seconds += costs.verifySeconds(Math.max(2, margins.length + 1), 16) + costs.draftSeconds(made.length);
        token += numAccepted + 1;
        draftLength?.record({
          ...AT_16,
          numDrafted: made.length,
          numDraftTokens: margins.length,
          margins: made,
          numAccepted,
          numRight: Math.min(numAccepted + 1, [...made, UNSURE].indexOf(UNSURE)),
        });
      }
      return token / seconds;
    };
    const draftLength = new DraftLength(AcceptanceEstimate.prior(MAX_DRAFTS), costs);
    const adaptive = tokensPerSecond((length) => draftLength.plan(MAX_DRAFTS, length), draftLength);
    for (let depth = 0; depth <= MAX_DRAFTS; depth += 1) {
      const fixed = tokensPerSecond(() => fixedDepth(depth));
      expect(adaptive).toBeGreaterThan(1.05 * fixed);
    }
  });

  it('takes the depth with the most expected tokens a second, as long as drafts are sure', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), {
          minLength: MAX_DRAFTS,
          maxLength: MAX_DRAFTS,
        }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        fc.double({ min: 0.01, max: 0.5, noNaN: true }),
        (rates, widthSeconds, draftSeconds) => {
          const tokensPerSecond = (depth: number): number => {
            const reached = rates.slice(0, depth).map((_, last) => rates.slice(0, last + 1));
            const accepted = reached.map((before) => before.reduce((product, rate) => product * rate, 1));
            const tokens = accepted.reduce((sum, probability) => sum + probability, 1);
            return tokens / (1 + widthSeconds * Math.max(2, depth + 1) + depth * draftSeconds);
          };
          const plan = withRates(rates, linearCosts(widthSeconds, draftSeconds)).plan(MAX_DRAFTS, 16);
          const depths = Array.from({ length: MAX_DRAFTS + 1 }, (_, depth) => depth);
          const best = Math.max(...depths.map(tokensPerSecond));
          // Whether to draft at all is decided before any draft was made; ties may go either way.
          const gain = best - tokensPerSecond(0);
          fc.pre(gain === 0 || gain > 1e-6);
          expect(plan.wantsAnother([])).toBe(gain > 0);
        },
      ),
    );
  });

  it('ends a chain at an unsure draft, and does not verify drafts that do not pay', () => {
    const estimate = new AcceptanceEstimate(
      Array<number>(MAX_DRAFTS).fill(0.8),
      Array.from({ length: NUM_MARGINS }, (_, index) => (index === 0 ? 0.05 : 0.95)),
    );
    const plan = new DraftLength(estimate, linearCosts(0.2, 0.1)).plan(MAX_DRAFTS, 16);
    const made = drafted(plan, [SURE, SURE, UNSURE, SURE]);
    expect(made).toEqual([SURE, SURE, UNSURE]);
    expect(plan.numToVerify(made)).toBe(2);
  });

  it('tries one draft again after 192 rounds, and after twice as many the next time', () => {
    const draftLength = withRates(1, dear);
    const depths = Array.from({ length: 1000 }, () => depthOf(draftLength));
    const probes = depths.flatMap((depth, round) => (depth > 0 ? [[round, depth]] : []));
    expect(probes).toEqual([
      [191, 1],
      [575, 1],
    ]);
  });

  it('takes drafting up again once the target has been surer for a while', () => {
    const estimate = new AcceptanceEstimate(
      Array<number>(MAX_DRAFTS).fill(0.01),
      Array<number>(NUM_MARGINS).fill(0.9),
      Array.from({ length: NUM_MARGINS }, (_, index) => (index < 5 ? 0.01 : 0.9)),
    );
    const draftLength = new DraftLength(estimate, cheap);
    const none = { ...AT_16, numDrafted: 0, numDraftTokens: 0, margins: [], numAccepted: 0, numRight: 0 };
    const roundsUntilDrafts = (targetMargin: number, most: number): number => {
      for (let round = 0; round < most; round += 1) {
        if (depthOf(draftLength) > 0) return round;
        draftLength.record({ ...none, targetMargins: [targetMargin] });
      }
      return most;
    };
    expect(roundsUntilDrafts(UNSURE, 100)).toBe(100);
    const numRounds = roundsUntilDrafts(SURE, 50);
    expect(numRounds).toBeGreaterThan(0);
    expect(numRounds).toBeLessThan(20);
  });

  it('waits for a few rounds before it takes drafting up again', () => {
    const estimate = new AcceptanceEstimate(
      Array<number>(MAX_DRAFTS).fill(0.01),
      Array<number>(NUM_MARGINS).fill(0.9),
    );
    const draftLength = new DraftLength(estimate, cheap);
    const depths = Array.from({ length: 20 }, () => {
      const depth = depthOf(draftLength);
      draftLength.record({
        ...AT_16,
        numDrafted: 0,
        numDraftTokens: 0,
        margins: [],
        numAccepted: 0,
        numRight: 0,
      });
      return depth;
    });
    expect(depths.findIndex((depth) => depth > 0)).toBe(16);
  });

  it('stops drafting when nothing is accepted, and begins again when it is', () => {
    const draftLength = new DraftLength(AcceptanceEstimate.prior(MAX_DRAFTS), cheap);
    const margins = Array<number>(4).fill(SURE);
    expect(depthOf(draftLength, 4)).toBeGreaterThan(0);
    const all = { ...AT_16, numDrafted: 4, numDraftTokens: 4, margins };
    for (let count = 0; count < 200; count += 1) draftLength.record({ ...all, numAccepted: 0, numRight: 0 });
    expect(depthOf(draftLength, 4)).toBe(0);
    for (let count = 0; count < 200; count += 1) draftLength.record({ ...all, numAccepted: 4, numRight: 4 });
    expect(depthOf(draftLength, 4)).toBe(4);
  });

  it('verifies what was looked up where that promises more than drafting', () => {
    const found = { tokenIds: [7, 8, 9, 7, 8, 9], matchLength: 12, isEarlier: false };
    const costly = withRates(0.9, linearCosts(0.1, 0.5));
    expect(costly.plan(4, 16, found)).toMatchObject({ ready: [7, 8, 9, 7], matchLength: 12 });
    expect(costly.plan(4, 16).ready).toEqual([]);
    const free = withRates(0.99, linearCosts(0.1, 0));
    expect(free.plan(4, 16, { ...found, matchLength: 3 }).ready).toEqual([]);
    // What is looked up in vain is not looked up for long.
    for (let count = 0; count < 60; count += 1)
      costly.record({
        ...AT_16,
        matchLength: 12,
        numDraftTokens: 4,
        numDrafted: 0,
        margins: [],
        numAccepted: 0,
        numRight: 0,
      });
    expect(costly.plan(4, 16, found).ready).toEqual([]);
  });
});
