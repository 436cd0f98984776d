/** Counts what speculation proposed and what was accepted. Knows nothing of who asks, or of time. */

/**
 * Who made a round's drafts: the MTP module, or a look-up of what followed the same tokens before, in the request's own
 * prompt and output or in the text of an earlier one.
 */
export type DrafterName = 'mtp' | 'prompt_lookup' | 'earlier_text';

export interface DraftCounts {
  readonly numSpecSteps: number;
  readonly numDraftTokens: number;
  readonly numAcceptedDraftTokens: number;
}

/** Raw counters; every rate is derived from them. */
export interface SpecDecodeCounters extends DraftCounts {
  /** Drafts a round could have had at most. */
  readonly numSpecTokens: number;
  /** Verify rounds that had at least one draft. */
  readonly numSpecSteps: number;
  readonly numDraftTokens: number;
  readonly numAcceptedDraftTokens: number;
  /** [numSpecTokens + 1]: rounds that accepted 0, 1, ... drafts. */
  readonly acceptanceHistogram: readonly number[];
  /** [numSpecTokens]: rounds that had a draft at this position and accepted all before it. */
  readonly numReachedPerPosition: readonly number[];
  /** [numSpecTokens] */
  readonly numAcceptedPerPosition: readonly number[];
  /** The parts of the above that were looked up. */
  readonly promptLookup: DraftCounts;
  readonly earlierText: DraftCounts;
}

/** vLLM's per-request shape. */
export interface SpecDecodeReport {
  num_spec_steps: number;
  num_draft_tokens: number;
  num_accepted_draft_tokens: number;
  draft_acceptance_rate: number;
  mean_acceptance_length: number;
  acceptance_histogram: number[];
  acceptance_rate_per_position: number[];
  conditional_acceptance_rate_per_position: number[];
  num_spec_tokens: number;
  prompt_lookup: DraftCountsReport;
  earlier_text: DraftCountsReport;
}

interface DraftCountsReport {
  num_spec_steps: number;
  num_draft_tokens: number;
  num_accepted_draft_tokens: number;
}

const noCounts: DraftCounts = { numSpecSteps: 0, numDraftTokens: 0, numAcceptedDraftTokens: 0 };

export class SpecDecodeStats implements SpecDecodeCounters {
  readonly numSpecTokens: number;
  readonly acceptanceHistogram: number[];
  readonly numReachedPerPosition: number[];
  readonly numAcceptedPerPosition: number[];
  numSpecSteps = 0;
  numDraftTokens = 0;
  numAcceptedDraftTokens = 0;
  promptLookup = noCounts;
  earlierText = noCounts;

  constructor(numSpecTokens: number) {
    this.numSpecTokens = numSpecTokens;
    this.acceptanceHistogram = Array.from({ length: numSpecTokens + 1 }, () => 0);
    this.numReachedPerPosition = Array.from({ length: numSpecTokens }, () => 0);
    this.numAcceptedPerPosition = Array.from({ length: numSpecTokens }, () => 0);
  }

  /** Counts one round; rounds without drafts are plain steps and leave no trace. */
  addRound(numDraftTokens: number, numAcceptedDraftTokens: number, drafter: DrafterName = 'mtp'): void {
    if (numDraftTokens === 0) return;
    this.numSpecSteps += 1;
    this.numDraftTokens += numDraftTokens;
    this.numAcceptedDraftTokens += numAcceptedDraftTokens;
    const withRound = (counts: DraftCounts): DraftCounts => ({
      numSpecSteps: counts.numSpecSteps + 1,
      numDraftTokens: counts.numDraftTokens + numDraftTokens,
      numAcceptedDraftTokens: counts.numAcceptedDraftTokens + numAcceptedDraftTokens,
    });
    if (drafter === 'prompt_lookup') this.promptLookup = withRound(this.promptLookup);
    if (drafter === 'earlier_text') this.earlierText = withRound(this.earlierText);
    this.acceptanceHistogram[numAcceptedDraftTokens]! += 1;
    const numReached = Math.min(numDraftTokens, numAcceptedDraftTokens + 1);
    for (let position = 0; position < numReached; position += 1) this.numReachedPerPosition[position]! += 1;
    for (let position = 0; position < numAcceptedDraftTokens; position += 1)
      this.numAcceptedPerPosition[position]! += 1;
  }

  counters(): SpecDecodeCounters {
    const { numSpecTokens, numSpecSteps, numDraftTokens, numAcceptedDraftTokens } = this;
    return {
      numSpecTokens,
      numSpecSteps,
      numDraftTokens,
      numAcceptedDraftTokens,
      acceptanceHistogram: [...this.acceptanceHistogram],
      numReachedPerPosition: [...this.numReachedPerPosition],
      numAcceptedPerPosition: [...this.numAcceptedPerPosition],
      promptLookup: this.promptLookup,
      earlierText: this.earlierText,
    };
  }
}

/** Rates are 0 where nothing was drafted. */
export function specDecodeReport(counters: SpecDecodeCounters): SpecDecodeReport {
  const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
  const { numSpecSteps, numAcceptedPerPosition } = counters;
  return {
    num_spec_steps: numSpecSteps,
    num_draft_tokens: counters.numDraftTokens,
    num_accepted_draft_tokens: counters.numAcceptedDraftTokens,
    draft_acceptance_rate: ratio(counters.numAcceptedDraftTokens, counters.numDraftTokens),
    mean_acceptance_length: 1 + ratio(counters.numAcceptedDraftTokens, numSpecSteps),
    acceptance_histogram: [...counters.acceptanceHistogram],
    acceptance_rate_per_position: numAcceptedPerPosition.map((accepted) => ratio(accepted, numSpecSteps)),
    conditional_acceptance_rate_per_position: numAcceptedPerPosition.map((accepted, position) =>
      ratio(accepted, counters.numReachedPerPosition[position]!),
    ),
    num_spec_tokens: counters.numSpecTokens,
    prompt_lookup: countsReport(counters.promptLookup),
    earlier_text: countsReport(counters.earlierText),
  };
}

const countsReport = (counts: DraftCounts): DraftCountsReport => ({
  num_spec_steps: counts.numSpecSteps,
  num_draft_tokens: counts.numDraftTokens,
  num_accepted_draft_tokens: counts.numAcceptedDraftTokens,
});
