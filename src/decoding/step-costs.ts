/**
 * What steps cost, in seconds: measured once, then kept current by what rounds really take. The plain step, one token
 * wide, is the baseline of every speedup; the others decide how deep to draft.
 *
 * Where others use the machine's memory, the first token of a forward takes longer, as it reads all weights; what
 * further ones add stays about the same (docs/log.md, "The calibrated baseline on a machine that others use"). So
 * forwards of any width drift by as many seconds, and what verifies take tells from round to round what a plain step
 * would. Real ones, taken now and then, tell what is still amiss.
 */

/** How many of the latest plain steps count, and how many the start-up measurement counts for. */
const NUM_RECENT = 16;
const NUM_PRIOR = 4;
const FORWARD_SMOOTHING = 0.02;
/** Of what drafts and the rest of a round take. */
const SMOOTHING = 0.05;
/** How far the costs of drafts go back, each round without any, to what they were at start. */
const FORGETTING = 0.005;
/** Nothing is believed to be less, whatever clocks say: a mean of nothing or less could not grow by shares of itself. */
const LEAST_OBSERVED = 1e-6;
/** No forward is believed to take less than this share of what it took at start. */
const LEAST_SHARE = 0.25;
/** What the module takes for a token that it catches up with, relative to a draft, before any was measured. */
const CATCH_UP_SHARE = 0.25;

export interface MeasuredCosts {
  /** Context lengths at which plain steps were measured, ascending. */
  readonly lengths: readonly number[];
  /** [lengths.length]: a forward of one token among others; choosing the next from its logits is not in it. */
  readonly plainSeconds: readonly number[];
  /** [width]: a forward that decides so many tokens, relative to the plain step at the same length; entry 0 is unused. */
  readonly verifyRatios: readonly number[];
  /** [k]: drafting k tokens; entry 0 is 0. */
  readonly draftSeconds: readonly number[];
}

/** One wild value counts as twice the mean. */
class RunningMean {
  /** 0 before anything was observed. */
  value: number;

  constructor(initial = 0) {
    this.value = initial;
  }

  observe(observed: number): void {
    const taken = Math.max(observed, LEAST_OBSERVED);
    if (this.value === 0) this.value = taken;
    else this.value += SMOOTHING * (Math.min(taken, 2 * this.value) - this.value);
  }

  /** Of a ratio above 1: back towards that. */
  forget(): void {
    this.value -= FORGETTING * Math.max(0, this.value - 1);
  }
}

export class StepCosts {
  private readonly measured: MeasuredCosts;
  /** Of a sequence alone, if these are costs of shared passes. */
  private readonly alone: StepCosts | null;
  // One drift for all widths and one for all depths: a depth that is not chosen stays comparable to those that are.
  private forwardDrift = 0; // seconds
  // Ratios of what was taken to what was expected.
  private readonly draftScale = new RunningMean(1);
  private readonly catchUpScale = new RunningMean(1);
  private readonly restSeconds = new RunningMean();
  /** Seconds that plain steps took beyond what verifies promised. */
  private readonly recentSurpluses: number[] = Array.from({ length: NUM_PRIOR }, () => 0);
  private plainSurplus = 0;

  constructor(measured: MeasuredCosts, alone: StepCosts | null = null) {
    this.measured = measured;
    this.alone = alone;
  }

  /**
   * A plain forward behind `length` cached positions: linear between the measured lengths, constant outside. Real ones
   * are taken alone: where passes are shared, they have become as much slower.
   */
  plainSeconds(length: number): number {
    const { alone } = this;
    const measured = this.measuredPlain(length);
    if (alone !== null) return measured * (alone.plainSeconds(length) / alone.measuredPlain(length));
    return drifted(measured, this.forwardDrift + this.plainSurplus);
  }

  verifySeconds(width: number, length: number): number {
    return drifted(this.measuredVerify(width, length), this.forwardDrift);
  }

  /** What a round takes beside its drafting and its verify: choosing tokens, looking up, messages. */
  get roundSeconds(): number {
    return this.restSeconds.value;
  }

  draftSeconds(numDraftTokens: number): number {
    return this.measured.draftSeconds[numDraftTokens]! * this.draftScale.value;
  }

  /** Before the first draft after a pause, the module takes the tokens that were decided meanwhile. */
  catchUpSeconds(numTokens: number): number {
    return numTokens * this.measuredCatchUp * this.catchUpScale.value;
  }

  /** Of a step, alone, behind as many others as it takes to be as fast as in an unbroken run of them. */
  observePlain(length: number, seconds: number): void {
    const recent = this.recentSurpluses;
    const promised = drifted(this.measuredPlain(length), this.forwardDrift);
    recent.push(Math.min(seconds, 2 * this.plainSeconds(length)) - promised);
    if (recent.length > NUM_RECENT) recent.shift();
    this.plainSurplus = recent.reduce((sum, surplus) => sum + surplus, 0) / recent.length;
  }

  observeVerify(width: number, length: number, seconds: number): void {
    const expected = this.verifySeconds(width, length);
    this.forwardDrift += FORWARD_SMOOTHING * (Math.min(seconds, 2 * expected) - expected);
  }

  /** `seconds` beside drafting and verify. */
  observeRound(seconds: number): void {
    this.restSeconds.observe(seconds);
  }

  observeDraft(numDraftTokens: number, seconds: number): void {
    this.draftScale.observe(seconds / this.measured.draftSeconds[numDraftTokens]!);
  }

  /** Of a round without drafts: a slow moment that ended drafting must not end it for good. */
  observeNoDrafts(): void {
    this.draftScale.forget();
    this.catchUpScale.forget();
  }

  observeCatchUp(numTokens: number, seconds: number): void {
    this.catchUpScale.observe(seconds / (numTokens * this.measuredCatchUp));
  }

  private get measuredCatchUp(): number {
    return CATCH_UP_SHARE * this.measured.draftSeconds[1]!;
  }

  private measuredVerify(width: number, length: number): number {
    return this.measuredPlain(length) * this.measured.verifyRatios[width]!;
  }

  private measuredPlain(length: number): number {
    const { lengths, plainSeconds: plain } = this.measured;
    const above = lengths.findIndex((measured) => measured >= length);
    if (above === 0) return plain[0]!;
    if (above === -1) return plain.at(-1)!;
    const share = (length - lengths[above - 1]!) / (lengths[above]! - lengths[above - 1]!);
    return plain[above - 1]! + share * (plain[above]! - plain[above - 1]!);
  }
}

function drifted(measured: number, drift: number): number {
  return Math.max(measured + drift, LEAST_SHARE * measured);
}

export interface MeasuredBySharing {
  /** By how many sequences share a pass, 1 among them: what one of them costs. */
  readonly bySharing: ReadonlyMap<number, MeasuredCosts>;
  /** Of one that has the machine to itself; null: as among others. */
  readonly solo: MeasuredCosts | null;
}

export class SharingCosts {
  private readonly bySharing = new Map<number, StepCosts>();
  private readonly solo: StepCosts;

  constructor({ bySharing, solo }: MeasuredBySharing) {
    const alone = new StepCosts(bySharing.get(1)!);
    for (const [numSharing, costs] of bySharing)
      this.bySharing.set(numSharing, numSharing === 1 ? alone : new StepCosts(costs, alone));
    this.solo = solo === null ? alone : new StepCosts(solo);
  }

  /** Of one sequence among `numSharing` that share their passes, or that has the machine to itself. */
  of(numSharing: number, isSolo = false): StepCosts {
    return isSolo ? this.solo : this.bySharing.get(numSharing)!;
  }
}
