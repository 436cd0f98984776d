/** Running estimates of P(accepted | all drafts before it were accepted). Knows nothing of what steps cost. */

/** Weight of one observation. */
const SMOOTHING = 0.06;
/** By position, before anything was seen: high enough that drafting is tried. */
const PRIOR_ACCEPTANCE = 0.75;
/** Upper ends of the margins, in nats, that share an estimate; the last one has no end. */
const MARGIN_ENDS = [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, Infinity];

/** Upper ends of the lengths of a looked-up match that share an estimate, and what is assumed of each. */
const MATCH_ENDS = [3, 4, 6, 9, 15, Infinity];
const PRIOR_BY_MATCH = [0.4, 0.5, 0.65, 0.75, 0.85, 0.95];
/** The same of matches in an earlier text. */
const PRIOR_BY_EARLIER_MATCH = [0.5, 0.6, 0.75, 0.85, 0.93, 0.97];
/** How far a new sequence goes back to what was assumed: what once failed is tried again. */
const FORGETTING = 0.1;

/** A round's drafts, and what became of them. */
export interface RoundDrafts {
  readonly numDraftTokens: number;
  /** Of looked-up drafts, the match before them (LookedUp); 0 where the MTP module drafted. */
  readonly matchLength: number;
  /** Whether that match is in an earlier text. */
  readonly isEarlier: boolean;
  /** Of all of the module's drafts, verified or not: how far each led (DraftPlan). */
  readonly margins: readonly number[];
  readonly numAccepted: number;
  /** `numAccepted`, or one more where the first draft that was not verified is what was decided in its place. */
  readonly numRight: number;
  /** [numAccepted + 1]: how far the target's own choices led. */
  readonly targetMargins: readonly number[];
}

/**
 * Three views of the module's drafts: by position, for drafts to come; by the lead that a draft had, for those made; and by
 * the lead of the target's choice in their place, which is known without drafting. And of looked-up drafts, by the
 * length of the match before them, drafts accepted on the way included, and by whose text it is in.
 */
export class AcceptanceEstimate {
  private readonly positions: number[]; // [maxDraftTokens]
  private readonly margins: number[]; // [MARGIN_ENDS.length]
  private readonly shares: number[]; // [MARGIN_ENDS.length], of drafts that led so far; their sum is 1
  private readonly targetMargins: number[]; // [MARGIN_ENDS.length]
  private readonly matches: number[]; // [MATCH_ENDS.length]
  private readonly earlierMatches: number[]; // [MATCH_ENDS.length]

  constructor(
    positions: readonly number[],
    margins: readonly number[],
    targetMargins: readonly number[] = margins,
    matches: readonly number[] = PRIOR_BY_MATCH,
    shares: readonly number[] = MARGIN_ENDS.map(() => 1 / MARGIN_ENDS.length),
    earlierMatches: readonly number[] = PRIOR_BY_EARLIER_MATCH,
  ) {
    this.positions = [...positions];
    this.margins = [...margins];
    this.shares = [...shares];
    this.targetMargins = [...targetMargins];
    this.matches = [...matches];
    this.earlierMatches = [...earlierMatches];
  }

  static prior(maxDraftTokens: number): AcceptanceEstimate {
    return new AcceptanceEstimate(
      Array.from({ length: maxDraftTokens }, () => PRIOR_ACCEPTANCE),
      MARGIN_ENDS.map((end) => 1 - 0.65 * Math.exp(-Math.min(end, 8) / 2)),
    );
  }

  /** What a new sequence begins with. */
  forSequence(): AcceptanceEstimate {
    const prior = AcceptanceEstimate.prior(this.positions.length);
    const mixed = (rates: readonly number[], priors: readonly number[]): number[] =>
      rates.map((rate, index) => rate + FORGETTING * (priors[index]! - rate));
    return new AcceptanceEstimate(
      mixed(this.positions, prior.positions),
      mixed(this.margins, prior.margins),
      mixed(this.targetMargins, prior.targetMargins),
      mixed(this.matches, prior.matches),
      mixed(this.shares, prior.shares),
      mixed(this.earlierMatches, prior.earlierMatches),
    );
  }

  /** Of the draft at `position`, counted from 0, before it is made. */
  atPosition(position: number): number {
    return this.positions[position]!;
  }

  /** Of a draft that led over the next best token by `margin` nats. */
  withMargin(margin: number): number {
    return this.margins[indexBelow(MARGIN_ENDS, margin)]!;
  }

  /**
   * The mean of `valueOf` over what a draft may turn out to be that is accepted at `rate` before it is made: by how far
   * it will lead, it is accepted more or less likely then.
   */
  expected(rate: number, valueOf: (acceptance: number) => number): number {
    const { margins, shares } = this;
    let mean = 0;
    for (let index = 0; index < margins.length; index += 1) mean += shares[index]! * margins[index]!;
    const scale = rate / Math.max(mean, 1e-9);
    let value = 0;
    for (let index = 0; index < margins.length; index += 1)
      value += shares[index]! * valueOf(Math.min(1, margins[index]! * scale));
    return value;
  }

  /** Of a first draft, had one been made, in the place of a token that the target chose with a lead of `margin` nats. */
  withTargetMargin(margin: number): number {
    return this.targetMargins[indexBelow(MARGIN_ENDS, margin)]!;
  }

  /** Nothing was drafted for a while, and what the target chose since lets expect this of first drafts. */
  expect(rate: number): void {
    this.positions[0] = rate;
  }

  /** Of a looked-up draft behind a match of so many tokens, in the text itself or in an earlier one. */
  afterMatch(matchLength: number, isEarlier: boolean): number {
    return this.matchesOf(isEarlier)[indexBelow(MATCH_ENDS, matchLength)]!;
  }

  record(round: RoundDrafts): void {
    const { numDraftTokens, matchLength, margins, numAccepted, numRight, targetMargins } = round;
    if (matchLength > 0) {
      const matches = this.matchesOf(round.isEarlier);
      for (let position = 0; position < Math.min(numDraftTokens, numAccepted + 1); position += 1) {
        const index = indexBelow(MATCH_ENDS, matchLength + position);
        observe(matches, index, position < numAccepted ? 1 : 0);
      }
      return;
    }
    for (let position = 0; position < Math.min(margins.length, numAccepted + 1); position += 1) {
      const right = position < numRight ? 1 : 0;
      const lead = indexBelow(MARGIN_ENDS, margins[position]!);
      observe(this.positions, position, right);
      observe(this.margins, lead, right);
      observe(this.targetMargins, indexBelow(MARGIN_ENDS, targetMargins[position]!), right);
      for (const index of this.shares.keys()) observe(this.shares, index, index === lead ? 1 : 0);
    }
  }

  private matchesOf(isEarlier: boolean): number[] {
    return isEarlier ? this.earlierMatches : this.matches;
  }
}

function observe(rates: number[], index: number, value: number): void {
  rates[index]! += SMOOTHING * (value - rates[index]!);
}

const indexBelow = (ends: readonly number[], value: number): number => ends.findIndex((end) => value <= end);
