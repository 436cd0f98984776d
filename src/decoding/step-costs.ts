/**
 * What steps cost, in seconds: measured once, then kept current by what rounds really take. The plain step, one token
 * wide, is the baseline of every speedup; the others decide how deep to draft.
 */

/** How many of the latest plain steps, taken under the present load, correct the start-up measurement. */
const NUM_RECENT = 9;
const SMOOTHING = 0.05;

export interface MeasuredCosts {
  /** Context lengths at which plain steps were measured, ascending. */
  readonly lengths: readonly number[];
  /** [lengths.length]: a forward of one token, its token chosen greedily. */
  readonly plainSeconds: readonly number[];
  /** [width]: a forward of that width relative to the plain step at the same length; entries 0 and 1 are unused. */
  readonly verifyRatios: readonly number[];
  /** [k]: drafting k tokens; entry 0 is 0. */
  readonly draftSeconds: readonly number[];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export class StepCosts {
  private readonly lengths: readonly number[];
  private readonly plain: readonly number[];
  private readonly verifyRatios: number[];
  private readonly drafts: number[];
  private readonly recentPlainRatios: number[] = [1];

  constructor(measured: MeasuredCosts) {
    this.lengths = measured.lengths;
    this.plain = measured.plainSeconds;
    this.verifyRatios = [...measured.verifyRatios];
    this.drafts = [...measured.draftSeconds];
  }

  /** The plain step behind `length` cached positions: linear between the measured lengths, constant outside. */
  plainSeconds(length: number): number {
    return this.measuredPlain(length) * median(this.recentPlainRatios);
  }

  verifySeconds(width: number, length: number): number {
    return this.plainSeconds(length) * this.verifyRatios[width]!;
  }

  draftSeconds(numDraftTokens: number): number {
    return this.drafts[numDraftTokens]!;
  }

  observePlain(length: number, seconds: number): void {
    this.recentPlainRatios.push(seconds / this.measuredPlain(length));
    if (this.recentPlainRatios.length > NUM_RECENT) this.recentPlainRatios.shift();
  }

  observeVerify(width: number, length: number, seconds: number): void {
    const ratio = seconds / this.plainSeconds(length);
    this.verifyRatios[width]! += SMOOTHING * (ratio - this.verifyRatios[width]!);
  }

  observeDraft(numDraftTokens: number, seconds: number): void {
    this.drafts[numDraftTokens]! += SMOOTHING * (seconds - this.drafts[numDraftTokens]!);
  }

  private measuredPlain(length: number): number {
    const { lengths, plain } = this;
    const above = lengths.findIndex((measured) => measured >= length);
    if (above === 0) return plain[0]!;
    if (above === -1) return plain.at(-1)!;
    const share = (length - lengths[above - 1]!) / (lengths[above]! - lengths[above - 1]!);
    return plain[above - 1]! + share * (plain[above]! - plain[above - 1]!);
  }
}
