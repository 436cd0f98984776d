/**
 * Chooses how deep each round of one sequence drafts, zero included, for the most tokens per second. Knows nothing of
 * models; it sees how sure drafts were, which of them were accepted, and what steps cost.
 *
 * Tokens per second over many rounds are greatest if every decision maximises expected tokens minus rate times seconds,
 * `rate` being what the rounds reach (Dinkelbach 1967, "On nonlinear fractional programming"): a chain that went well
 * so far is drafted on, an unsure draft ends it, and drafts that do not pay for their width are not verified.
 */
import type { AcceptanceEstimate, RoundDrafts } from './acceptance-estimate.ts';
import { fixedDepth, noDrafts, lookedUpDrafts, type DraftPlan } from './draft-plan.ts';
import { NOTHING_FOUND, type LookedUp } from './prompt-lookup.ts';
import type { StepCosts } from './step-costs.ts';

/** Weight of one round in the running rate: the luck of a few must not sway it (docs/log.md, "What else a round could gain"). */
const SMOOTHING = 0.03;
/** Drafting is not taken up again sooner, and must pay for what the module catches up with in so many rounds. */
const MIN_ROUNDS_WITHOUT_DRAFTS = 16;
const ROUNDS_TO_PAY = 24;
/** After so many one draft is tried whatever is expected of it; after twice as many the next time. */
const ROUNDS_BEFORE_PROBE = 192;
/** Weight of one token in what is expected of first drafts while none are made. */
const OUTLOOK_SMOOTHING = 0.1;

/** What a round came to. */
export interface DraftedRound extends RoundDrafts {
  readonly contextLength: number;
  /** Drafts that the drafter made, verified or not. */
  readonly numDrafted: number;
}

/** Expected tokens minus rate times seconds, and the verified drafts that give it. */
interface Choice {
  readonly gain: number;
  readonly numDraftTokens: number;
}

/** Of a round. */
interface Pace {
  readonly tokens: number;
  readonly seconds: number;
}

export class DraftLength {
  private readonly estimate: AcceptanceEstimate;
  private costs: StepCosts;
  /** Means over the rounds so far, that of the best fixed depth before them; null before the first at these costs is planned. */
  private pace: Pace | null = null;
  private numRoundsWithoutDrafts = 0;
  private pendingTokens = 0;
  /** Acceptance that first drafts would have had of late, by how sure the target was; null where they were made. */
  private outlook: number | null = null;
  private roundsBeforeProbe = ROUNDS_BEFORE_PROBE;

  constructor(estimate: AcceptanceEstimate, costs: StepCosts) {
    this.estimate = estimate;
    this.costs = costs;
  }

  /** From now on steps cost this: the sequence shares its passes with more others, or with fewer. */
  useCosts(costs: StepCosts): void {
    if (costs !== this.costs) this.pace = null;
    this.costs = costs;
  }

  /**
   * For a round behind `length` cached positions, of at most `maxDraftTokens` drafts; `found` is what may be verified
   * without drafting.
   */
  plan(maxDraftTokens: number, length: number, found: LookedUp = NOTHING_FOUND): DraftPlan {
    if (maxDraftTokens === 0) return noDrafts;
    const rate = this.tokensPerSecond(maxDraftTokens, length);
    if (this.isWorthTrying(maxDraftTokens, length, rate)) this.estimate.expect(this.outlook!);
    const undrafted = this.best([], length, rate).gain;
    const drafted = this.gainOfMore([], maxDraftTokens, length, rate);
    const lookup = this.bestOfFound(found, maxDraftTokens, length, rate);
    if (lookup.numDraftTokens > 0 && lookup.gain > Math.max(undrafted, drafted)) {
      return lookedUpDrafts(found, lookup.numDraftTokens);
    }
    if (drafted > undrafted) {
      this.numRoundsWithoutDrafts = 0;
      this.roundsBeforeProbe = ROUNDS_BEFORE_PROBE;
      this.outlook = null;
      return {
        ...noDrafts,
        wantsAnother: (margins) =>
          margins.length === 0 ||
          this.gainOfMore(margins, maxDraftTokens, length, rate) > this.best(margins, length, rate).gain,
        numToVerify: (margins) => this.best(margins, length, rate).numDraftTokens,
      };
    }
    this.numRoundsWithoutDrafts += 1;
    if (this.numRoundsWithoutDrafts < this.roundsBeforeProbe) return noDrafts;
    this.numRoundsWithoutDrafts = 0;
    this.roundsBeforeProbe *= 2;
    return fixedDepth(1);
  }

  /** Tokens that the module must catch up with before its next draft. */
  get numPending(): number {
    return this.pendingTokens;
  }

  /** Of a round that was not planned: it decided one token without drafts. */
  passedOver(): void {
    this.pendingTokens += 1;
  }

  record(round: DraftedRound): void {
    const { contextLength, numDrafted, numDraftTokens, numAccepted } = round;
    this.estimate.record(round);
    this.pendingTokens = numDrafted > 0 ? 0 : this.pendingTokens + numAccepted + 1;
    if (numDraftTokens === 0) {
      const expected = this.estimate.withTargetMargin(round.targetMargins[0]!);
      this.outlook ??= expected;
      this.outlook += OUTLOOK_SMOOTHING * (expected - this.outlook);
    }
    const { pace } = this;
    if (pace === null) return;
    const seconds = this.verifySeconds(numDraftTokens, contextLength) + this.costs.draftSeconds(numDrafted);
    this.pace = {
      tokens: pace.tokens + SMOOTHING * (numAccepted + 1 - pace.tokens),
      seconds: pace.seconds + SMOOTHING * (seconds - pace.seconds),
    };
  }

  /** Whether single drafts, of which `outlook` is expected, would pay for themselves and for catching up. */
  private isWorthTrying(maxDraftTokens: number, length: number, rate: number): boolean {
    const { outlook, numRoundsWithoutDrafts, costs } = this;
    if (outlook === null || maxDraftTokens === 0) return false;
    if (numRoundsWithoutDrafts < MIN_ROUNDS_WITHOUT_DRAFTS) return false;
    const gain =
      this.gainOfMore([], maxDraftTokens, length, rate, outlook) - this.best([], length, rate).gain;
    return ROUNDS_TO_PAY * gain > rate * costs.catchUpSeconds(this.pendingTokens);
  }

  /** Verifying the first of what was looked up. */
  private bestOfFound(found: LookedUp, maxDraftTokens: number, length: number, rate: number): Choice {
    let tokens = 1;
    let reach = 1;
    let best: Choice = { gain: -Infinity, numDraftTokens: 0 };
    for (let depth = 1; depth <= Math.min(maxDraftTokens, found.tokenIds.length); depth += 1) {
      reach *= this.estimate.afterMatch(found.matchLength + depth - 1, found.isEarlier);
      tokens += reach;
      const gain = tokens - rate * this.verifySeconds(depth, length);
      if (gain > best.gain) best = { gain, numDraftTokens: depth };
    }
    return best;
  }

  /** What the rounds reach; never less than without drafts. */
  private tokensPerSecond(maxDraftTokens: number, length: number): number {
    const { tokens, seconds } = (this.pace ??= this.expectedPace(maxDraftTokens, length));
    return Math.max(tokens / seconds, 1 / this.verifySeconds(0, length));
  }

  /** Of the best fixed depth. */
  private expectedPace(maxDraftTokens: number, length: number): Pace {
    let best: Pace = { tokens: 1, seconds: this.verifySeconds(0, length) };
    let tokens = 1;
    let reach = 1;
    for (let depth = 1; depth <= maxDraftTokens; depth += 1) {
      reach *= this.estimate.atPosition(depth - 1);
      tokens += reach;
      const seconds = this.verifySeconds(depth, length) + this.costs.draftSeconds(depth);
      if (tokens / seconds > best.tokens / best.seconds) best = { tokens, seconds };
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

  /**
   * Drafting once more, which is accepted as often as `acceptance` says. How sure the draft will be decides whether it
   * is verified at all, and whether others follow, up to the best depth.
   */
  private gainOfMore(
    margins: readonly number[],
    maxDraftTokens: number,
    length: number,
    rate: number,
    acceptance = this.estimate.atPosition(margins.length),
  ): number {
    const { costs, estimate } = this;
    const position = margins.length;
    if (position >= maxDraftTokens) return -Infinity;
    let tokens = 1;
    let reach = 1;
    for (const margin of margins) {
      reach *= estimate.withMargin(margin);
      tokens += reach;
    }
    const unverified = this.best(margins, length, rate).gain;
    // By depth beyond this draft: tokens for each that is reached, and what it costs.
    const tokensIfReached: number[] = [];
    const losses: number[] = [];
    let reached = 1;
    for (let depth = position + 1, more = 1; depth <= maxDraftTokens; depth += 1) {
      const draftSeconds = costs.draftSeconds(depth) - costs.draftSeconds(position + 1);
      tokensIfReached.push(more);
      losses.push(rate * (this.verifySeconds(depth, length) + draftSeconds));
      if (depth < maxDraftTokens) more += reached *= estimate.atPosition(depth);
    }
    const draftSeconds = costs.draftSeconds(position + 1) - costs.draftSeconds(position);
    const gainIf = (accepted: number): number => {
      let best = unverified;
      for (let index = 0; index < losses.length; index += 1)
        best = Math.max(best, tokens + reach * accepted * tokensIfReached[index]! - losses[index]!);
      return best;
    };
    return estimate.expected(acceptance, gainIf) - rate * draftSeconds;
  }

  /** Of a round with so many drafts, drafting aside. */
  private verifySeconds(numDraftTokens: number, length: number): number {
    return this.costs.roundSeconds + this.costs.verifySeconds(numDraftTokens + 1, length);
  }
}
