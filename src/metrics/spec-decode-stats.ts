/** Counts what speculation proposed and what was accepted. Knows nothing of who asks, or of time. */

/** Who made a round's drafts: the MTP module, or a look-up of what followed the same tokens before. */
export type DrafterName = 'mtp' | 'prompt_lookup';

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
  /** The part of the above that was looked up. */
  readonly promptLookup: DraftCounts;
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
  prompt_lookup: { num_spec_steps: number; num_draft_tokens: number; num_accepted_draft_tokens: number };
}

export class SpecDecodeStats implements SpecDecodeCounters {
  readonly numSpecTokens: number;
  readonly acceptanceHistogram: number[];
  readonly numReachedPerPosition: number[];
  readonly numAcceptedPerPosition: number[];
  numSpecSteps = 0;
  numDraftTokens = 0;
  numAcceptedDraftTokens = 0;
  promptLookup: DraftCounts = { numSpecSteps: 0, numDraftTokens: 0, numAcceptedDraftTokens: 0 };

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
    if (drafter === 'prompt_lookup') {
      const { promptLookup } = this;
      this.promptLookup = {
        numSpecSteps: promptLookup.numSpecSteps + 1,
        numDraftTokens: promptLookup.numDraftTokens + numDraftTokens,
        numAcceptedDraftTokens: promptLookup.numAcceptedDraftTokens + numAcceptedDraftTokens,
      };
    }
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
    prompt_lookup: {
      num_spec_steps: counters.promptLookup.numSpecSteps,
      num_draft_tokens: counters.promptLookup.numDraftTokens,
      num_accepted_draft_tokens: counters.promptLookup.numAcceptedDraftTokens,
    },
  };
}
