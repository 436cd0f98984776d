import type { GenerationReport, GenerationTimings } from '../../src/metrics/generation-report.ts';
import { SpecDecodeStats } from '../../src/metrics/spec-decode-stats.ts';

export interface GivenReport extends Partial<Omit<GenerationReport, 'timings' | 'speculation'>> {
  readonly timings?: Partial<GenerationTimings>;
  /** Drafts and accepted drafts of each round. */
  readonly rounds?: readonly (readonly [numDraftTokens: number, numAccepted: number])[];
  readonly numSpecTokens?: number;
}

/** Ten prompt tokens, nine decoded in two seconds that plain decoding takes five for, except what is given. */
export function generationReport(given: GivenReport = {}): GenerationReport {
  const { timings, rounds = [], numSpecTokens = 3, ...rest } = given;
  const stats = new SpecDecodeStats(numSpecTokens);
  for (const [numDraftTokens, numAccepted] of rounds) stats.addRound(numDraftTokens, numAccepted);
  return {
    numPromptTokens: 10,
    numQueriedTokens: 10,
    numCachedTokens: 0,
    numCompletionTokens: 10,
    speculation: stats.counters(),
    timings: {
      queueSeconds: 0.25,
      prefillSeconds: 0.5,
      timeToFirstTokenSeconds: 0.75,
      decodeSeconds: 2,
      draftSeconds: 0.375,
      verifySeconds: 1.5,
      sampleSeconds: 0.125,
      totalSeconds: 3,
      ...timings,
    },
    baseline: { method: 'calibrated', seconds: 5 },
    ...rest,
  };
}
