/**
 * How many tokens to draft next: the depth, zero included, with the most expected tokens per second. Knows nothing of
 * models; it sees which drafts were accepted and what steps cost.
 */
import type { StepCosts } from './step-costs.ts';

/** Weight of one observation in the running acceptance rates. */
const SMOOTHING = 0.06;
/** Assumed before anything was seen: high enough that drafting is tried. */
const PRIOR_ACCEPTANCE = 0.75;
/** After so many rounds without drafts one draft is tried again, as the text may have become predictable. */
const ROUNDS_BETWEEN_PROBES = 24;

/** Running estimate, per draft position, of P(accepted | all before it were accepted). */
export class AcceptanceEstimate {
  readonly rates: number[]; // [maxDraftTokens]

  constructor(rates: readonly number[]) {
    this.rates = [...rates];
  }

  static prior(maxDraftTokens: number): AcceptanceEstimate {
    return new AcceptanceEstimate(Array.from({ length: maxDraftTokens }, () => PRIOR_ACCEPTANCE));
  }

  record(numDraftTokens: number, numAccepted: number): void {
    const numReached = Math.min(numDraftTokens, numAccepted + 1);
    for (let position = 0; position < numReached; position += 1) {
      const accepted = position < numAccepted ? 1 : 0;
      this.rates[position]! += SMOOTHING * (accepted - this.rates[position]!);
    }
  }
}

/** Chooses the depth of each round of one sequence. */
export class DraftLength {
  private readonly estimate: AcceptanceEstimate;
  private readonly costs: StepCosts;
  private numRoundsWithoutDrafts = 0;

  constructor(estimate: AcceptanceEstimate, costs: StepCosts) {
    this.estimate = estimate;
    this.costs = costs;
  }

  /** At most `maxDraftTokens`, for a round behind `length` cached positions. */
  choose(maxDraftTokens: number, length: number): number {
    let best = 0;
    let bestRate = 1 / this.costs.verifySeconds(2, length);
    let reachProbability = 1;
    let expectedTokens = 1;
    for (let depth = 1; depth <= maxDraftTokens; depth += 1) {
      reachProbability *= this.estimate.rates[depth - 1]!;
      expectedTokens += reachProbability;
      const rate =
        expectedTokens / (this.costs.verifySeconds(depth + 1, length) + this.costs.draftSeconds(depth));
      if (rate > bestRate) {
        best = depth;
        bestRate = rate;
      }
    }
    if (best > 0 || maxDraftTokens === 0) {
      this.numRoundsWithoutDrafts = 0;
      return best;
    }
    this.numRoundsWithoutDrafts += 1;
    if (this.numRoundsWithoutDrafts < ROUNDS_BETWEEN_PROBES) return 0;
    this.numRoundsWithoutDrafts = 0;
    return 1;
  }

  record(numDraftTokens: number, numAccepted: number): void {
    this.estimate.record(numDraftTokens, numAccepted);
  }
}
