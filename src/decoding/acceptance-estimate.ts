/** Running estimates of P(accepted | all drafts before it were accepted). Knows nothing of what steps cost. */

/** Weight of one observation. */
const SMOOTHING = 0.06;
/** By position, before anything was seen: high enough that drafting is tried. */
const PRIOR_ACCEPTANCE = 0.75;
/** Upper ends of the margins, in nats, that share an estimate; the last one has no end. */
const MARGIN_ENDS = [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, Infinity];

/** Two views of the same drafts: by position, for drafts to come; by the lead that a draft had, for those made. */
export class AcceptanceEstimate {
  private readonly positions: number[]; // [maxDraftTokens]
  private readonly margins: number[]; // [MARGIN_ENDS.length]

  constructor(positions: readonly number[], margins: readonly number[]) {
    this.positions = [...positions];
    this.margins = [...margins];
  }

  static prior(maxDraftTokens: number): AcceptanceEstimate {
    return new AcceptanceEstimate(
      Array.from({ length: maxDraftTokens }, () => PRIOR_ACCEPTANCE),
      MARGIN_ENDS.map((end) => 1 - 0.65 * Math.exp(-Math.min(end, 8) / 2)),
    );
  }

  copy(): AcceptanceEstimate {
    return new AcceptanceEstimate(this.positions, this.margins);
  }

  /** Of the draft at `position`, counted from 0, before it is made. */
  atPosition(position: number): number {
    return this.positions[position]!;
  }

  /** Of a draft that led over the next best token by `margin` nats. */
  withMargin(margin: number): number {
    return this.margins[marginIndex(margin)]!;
  }

  /** margins: [number of verified drafts] */
  record(margins: readonly number[], numAccepted: number): void {
    const numReached = Math.min(margins.length, numAccepted + 1);
    for (let position = 0; position < numReached; position += 1) {
      const accepted = position < numAccepted ? 1 : 0;
      const index = marginIndex(margins[position]!);
      this.positions[position]! += SMOOTHING * (accepted - this.positions[position]!);
      this.margins[index]! += SMOOTHING * (accepted - this.margins[index]!);
    }
  }
}

const marginIndex = (margin: number): number => MARGIN_ENDS.findIndex((end) => margin <= end);
