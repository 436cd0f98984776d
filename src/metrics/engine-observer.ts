/** What the engine tells about its work as it happens, and whoever counts it listens to. */
import type { GenerationReport } from './generation-report.ts';
import type { DrafterName } from './spec-decode-stats.ts';

export type FinishReason = 'stop' | 'length';
export type RequestOutcome = FinishReason | 'abort' | 'error';

export interface EngineLoad {
  /** That are ready for requests. */
  readonly numWorkers: number;
  readonly numRunning: number;
  readonly numWaiting: number;
  /** Share of the KV memory that running requests have reserved, 0 to 1. */
  readonly kvCacheUsage: number;
  /** Share of it that holds prefixes of requests that have ended; it makes way for running ones. */
  readonly prefixCacheUsage: number;
}

/** One verify round of one sequence, as it happened. Seconds are its share of what was shared. */
export interface RoundStats {
  /** Sequences whose rounds shared passes with it, itself included. */
  readonly numSharing: number;
  readonly numDraftTokens: number;
  readonly numAcceptedDraftTokens: number;
  readonly drafter: DrafterName;
  readonly draftSeconds: number;
  readonly verifySeconds: number;
  readonly sampleSeconds: number;
}

export interface FinishedRound extends RoundStats {
  /** Wall time since the request's previous output, turns of others included. */
  readonly latencySeconds: number;
}

/** Is told what happens; must not throw. */
export interface EngineObserver {
  roundFinished(round: FinishedRound): void;
  /** Every accepted request ends here once: finished, aborted by its client, or failed. */
  requestFinished(outcome: RequestOutcome, report: GenerationReport): void;
  /** A worker is started in place of one that died. */
  workerRestarted(): void;
}
