/**
 * What steps cost, in seconds: measured once, then kept current by what rounds really take. The plain step, one token
 * wide, is the baseline of every speedup; the others decide how deep to draft.
 */

import { clippedMean } from './robust-statistics.ts';

/** How many of the latest plain steps correct the start-up measurement, and how many it counts for itself. */
const NUM_RECENT = 16;
const NUM_PRIOR = 4;
const SMOOTHING = 0.05;
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

/** Follows the ratio of what steps take to what they were expected to take. */
class RunningScale {
  value = 1;

  observe(ratio: number): void {
    this.value += SMOOTHING * (Math.min(ratio, 2 * this.value) - this.value);
  }
}

/** Follows plain steps relative to what was measured at start-up: so much slower, or faster, is the machine now. */
export class PlainDrift {
  private readonly recentRatios: number[] = Array.from({ length: NUM_PRIOR }, () => 1);
  private mean = 1;

  get ratio(): number {
    return this.mean;
  }

  observe(ratio: number): void {
    this.recentRatios.push(ratio);
    if (this.recentRatios.length > NUM_RECENT) this.recentRatios.shift();
    this.mean = clippedMean(this.recentRatios);
  }
}

export class StepCosts {
  private readonly measured: MeasuredCosts;
  // One scale for all widths and one for all depths: a depth that is not chosen stays comparable to those that are.
  private readonly verifyScale = new RunningScale();
  private readonly draftScale = new RunningScale();
  private readonly catchUpScale = new RunningScale();
  private readonly plainDrift: PlainDrift;
  private restSeconds: number | null = null;

  constructor(measured: MeasuredCosts, plainDrift = new PlainDrift()) {
    this.measured = measured;
    this.plainDrift = plainDrift;
  }

  /** A plain forward behind `length` cached positions: linear between the measured lengths, constant outside. */
  plainSeconds(length: number): number {
    return this.measuredPlain(length) * this.plainDrift.ratio;
  }

  verifySeconds(width: number, length: number): number {
    return this.measuredVerify(width, length) * this.verifyScale.value;
  }

  /** What a round takes beside its drafting and its verify: choosing tokens, looking up, messages. */
  get roundSeconds(): number {
    return this.restSeconds ?? 0;
  }

  draftSeconds(numDraftTokens: number): number {
    return this.measured.draftSeconds[numDraftTokens]! * this.draftScale.value;
  }

  /** Before the first draft after a pause, the module takes the tokens that were decided meanwhile. */
  catchUpSeconds(numTokens: number): number {
    return numTokens * this.measuredCatchUp * this.catchUpScale.value;
  }

  /** Of a step behind as many others as it takes to be as fast as in an unbroken run of them. */
  observePlain(length: number, seconds: number): void {
    this.plainDrift.observe(seconds / this.measuredPlain(length));
  }

  observeVerify(width: number, length: number, seconds: number): void {
    this.verifyScale.observe(seconds / this.measuredVerify(width, length));
  }

  /** `seconds` beside drafting and verify. */
  observeRound(seconds: number): void {
    const current = (this.restSeconds ??= seconds);
    this.restSeconds += SMOOTHING * (Math.min(seconds, 2 * current) - current);
  }

  observeDraft(numDraftTokens: number, seconds: number): void {
    this.draftScale.observe(seconds / this.measured.draftSeconds[numDraftTokens]!);
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

/** By how many sequences share a pass, 1 among them: what one of them costs. */
export type MeasuredBySharing = ReadonlyMap<number, MeasuredCosts>;

export class SharingCosts {
  private readonly bySharing = new Map<number, StepCosts>();

  constructor(measured: MeasuredBySharing) {
    // Plain steps are taken alone, and stand for those that would be shared.
    const drift = new PlainDrift();
    for (const [numSharing, costs] of measured) this.bySharing.set(numSharing, new StepCosts(costs, drift));
  }

  /** Of one sequence among `numSharing` that share their passes. */
  of(numSharing: number): StepCosts {
    return this.bySharing.get(numSharing)!;
  }
}
