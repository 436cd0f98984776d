/**
 * Chooses how deep each round of one sequence drafts, zero included, for the most tokens per second. Knows nothing of
 * models; it sees how sure drafts were, which of them were accepted, and what steps cost.
 *
 * Tokens per second over many rounds are greatest if every decision maximises expected tokens minus rate times seconds,
 * `rate` being what the rounds reach (Dinkelbach 1967, "On nonlinear fractional programming"): a chain that went well
 * so far is drafted on, an unsure draft ends it, and drafts that do not pay for their width are not verified.
 */
import type { AcceptanceEstimate, VerifiedDrafts } from './acceptance-estimate.ts';
import { fixedDepth, noDrafts, lookedUpDrafts, type DraftPlan } from './draft-plan.ts';
import { NOTHING_FOUND, type LookedUp } from './prompt-lookup.ts';
import type { StepCosts } from './step-costs.ts';

/** Weight of one round in the running rate. */
const SMOOTHING = 0.06;
/**
 * After so many rounds without drafts one draft is tried again, as the text may have become predictable; after twice as many
 * the next time, as the module must first catch up with what it has not seen.
 */
const ROUNDS_BEFORE_PROBE = 24;

/** What a round came to. */
export interface DraftedRound extends VerifiedDrafts {
  readonly contextLength: number;
  /** Drafts that the drafter made, verified or not. */
  readonly numDrafted: number;
}

/** Expected tokens minus rate times seconds, and the verified drafts that give it. */
interface Choice {
  readonly gain: number;
  readonly numDraftTokens: number;
}

export class DraftLength {
  private readonly estimate: AcceptanceEstimate;
  private costs: StepCosts;
  /** Running means over rounds; null before the first. */
  private tokens: number | null = null;
  private seconds = 0;
  private numRoundsWithoutDrafts = 0;
  private roundsBeforeProbe = ROUNDS_BEFORE_PROBE;

  constructor(estimate: AcceptanceEstimate, costs: StepCosts) {
    this.estimate = estimate;
    this.costs = costs;
  }

  /** From now on steps cost this: the sequence shares its passes with more others, or with fewer. */
  useCosts(costs: StepCosts): void {
    this.costs = costs;
  }

  /**
   * For a round behind `length` cached positions, of at most `maxDraftTokens` drafts; `found` is what may be verified
   * without drafting.
   */
  plan(maxDraftTokens: number, length: number, found: LookedUp = NOTHING_FOUND): DraftPlan {
    const rate = this.tokensPerSecond(maxDraftTokens, length);
    const wantsAnother = (margins: readonly number[]): boolean =>
      this.gainOfMore(margins, maxDraftTokens, length, rate) > this.best(margins, length, rate).gain;
    if (maxDraftTokens === 0) return noDrafts;
    const lookup = this.bestOfFound(found, maxDraftTokens, length, rate);
    const others = Math.max(
      this.best([], length, rate).gain,
      this.gainOfMore([], maxDraftTokens, length, rate),
    );
    if (lookup.numDraftTokens > 0 && lookup.gain > others) {
      return lookedUpDrafts(found, lookup.numDraftTokens);
    }
    if (wantsAnother([])) {
      this.numRoundsWithoutDrafts = 0;
      this.roundsBeforeProbe = ROUNDS_BEFORE_PROBE;
      return {
        ...noDrafts,
        wantsAnother,
        numToVerify: (margins) => this.best(margins, length, rate).numDraftTokens,
      };
    }
    this.numRoundsWithoutDrafts += 1;
    if (this.numRoundsWithoutDrafts < this.roundsBeforeProbe) return noDrafts;
    this.numRoundsWithoutDrafts = 0;
    this.roundsBeforeProbe *= 2;
    return fixedDepth(1);
  }

  record(round: DraftedRound): void {
    const { contextLength, numDrafted, numDraftTokens, numAccepted } = round;
    this.estimate.record(round);
    const seconds = this.verifySeconds(numDraftTokens, contextLength) + this.costs.draftSeconds(numDrafted);
    if (this.tokens === null) {
      this.tokens = numAccepted + 1;
      this.seconds = seconds;
      return;
    }
    this.tokens += SMOOTHING * (numAccepted + 1 - this.tokens);
    this.seconds += SMOOTHING * (seconds - this.seconds);
  }

  /** Verifying the first of what was looked up. */
  private bestOfFound(found: LookedUp, maxDraftTokens: number, length: number, rate: number): Choice {
    let tokens = 1;
    let reach = 1;
    let best: Choice = { gain: -Infinity, numDraftTokens: 0 };
    for (let depth = 1; depth <= Math.min(maxDraftTokens, found.tokenIds.length); depth += 1) {
      reach *= this.estimate.afterMatch(found.matchLength + depth - 1);
      tokens += reach;
      const gain = tokens - rate * this.verifySeconds(depth, length);
      if (gain > best.gain) best = { gain, numDraftTokens: depth };
    }
    return best;
  }

  /** What the rounds reach; before the first one, what the best depth promises. Never less than without drafts. */
  private tokensPerSecond(maxDraftTokens: number, length: number): number {
    let best = 1 / this.verifySeconds(0, length);
    if (this.tokens !== null) return Math.max(best, this.tokens / this.seconds);
    let tokens = 1;
    let reach = 1;
    for (let depth = 1; depth <= maxDraftTokens; depth += 1) {
      reach *= this.estimate.atPosition(depth - 1);
      tokens += reach;
      best = Math.max(best, tokens / (this.verifySeconds(depth, length) + this.costs.draftSeconds(depth)));
    }
    return best;
  }

  /** Verifying the drafts made so far, or the first of them. */
  private best(margins: readonly number[], length: number, rate: number): Choice {
    let tokens = 1;
    let reach = 1;
    let best: Choice = { gain: tokens - rate * this.verifySeconds(0, length), numDraftTokens: 0 };
    for (const [position, margin] of margins.entries()) {
      reach *= this.estimate.withMargin(margin);
      tokens += reach;
      const gain = tokens - rate * this.verifySeconds(position + 1, length);
      if (gain >= best.gain) best = { gain, numDraftTokens: position + 1 };
    }
    return best;
  }

  /** Drafting on, to the best depth beyond the drafts made so far. */
  private gainOfMore(
    margins: readonly number[],
    maxDraftTokens: number,
    length: number,
    rate: number,
  ): number {
    const { costs, estimate } = this;
    let tokens = 1;
    let reach = 1;
    for (const margin of margins) {
      reach *= estimate.withMargin(margin);
      tokens += reach;
    }
    let best = -Infinity;
    for (let depth = margins.length + 1; depth <= maxDraftTokens; depth += 1) {
      reach *= estimate.atPosition(depth - 1);
      tokens += reach;
      const draftSeconds = costs.draftSeconds(depth) - costs.draftSeconds(margins.length);
      best = Math.max(best, tokens - rate * (this.verifySeconds(depth, length) + draftSeconds));
    }
    return best;
  }

  /** Of a round with so many drafts, drafting aside. */
  private verifySeconds(numDraftTokens: number, length: number): number {
    return this.costs.roundSeconds + this.costs.verifySeconds(numDraftTokens + 1, length);
  }
}
