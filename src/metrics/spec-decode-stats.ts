/** Counts what speculation proposed and what was accepted. Knows nothing of who asks, or of time. */

/** Raw counters; every rate is derived from them. */
export interface SpecDecodeCounters {
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
}

export class SpecDecodeStats implements SpecDecodeCounters {
  readonly numSpecTokens: number;
  readonly acceptanceHistogram: number[];
  readonly numReachedPerPosition: number[];
  readonly numAcceptedPerPosition: number[];
  numSpecSteps = 0;
  numDraftTokens = 0;
  numAcceptedDraftTokens = 0;

  constructor(numSpecTokens: number) {
    this.numSpecTokens = numSpecTokens;
    this.acceptanceHistogram = Array.from({ length: numSpecTokens + 1 }, () => 0);
    this.numReachedPerPosition = Array.from({ length: numSpecTokens }, () => 0);
    this.numAcceptedPerPosition = Array.from({ length: numSpecTokens }, () => 0);
  }

  /** Counts one round; rounds without drafts are plain steps and leave no trace. */
  addRound(numDraftTokens: number, numAcceptedDraftTokens: number): void {
    if (numDraftTokens === 0) return;
    this.numSpecSteps += 1;
    this.numDraftTokens += numDraftTokens;
    this.numAcceptedDraftTokens += numAcceptedDraftTokens;
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
  };
}
