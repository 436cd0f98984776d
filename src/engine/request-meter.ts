/** Adds up one request's times and counters. Knows nothing of its text. */
import type { RoundStats } from '../metrics/engine-observer.ts';
import type { Baseline, GenerationReport } from '../metrics/generation-report.ts';
import { SpecDecodeStats } from '../metrics/spec-decode-stats.ts';

export class RequestMeter {
  /** Of the calibrated baseline: what plain decoding would have taken. */
  baselineSeconds = 0;
  private readonly stats: SpecDecodeStats;
  private readonly admittedAt: number;
  private readonly seconds = { prefill: 0, firstToken: 0, decode: 0, draft: 0, verify: 0, sample: 0 };
  private lastOutputAt: number | null = null; // ms
  private queueSeconds: number | null = null;
  private prompt = { numQueriedTokens: 0, numCachedTokens: 0 };

  constructor(maxDraftTokens: number, admittedAt = performance.now()) {
    this.admittedAt = admittedAt;
    this.stats = new SpecDecodeStats(maxDraftTokens);
  }

  /** The request left the queue; a replay's start does not count. */
  started(): void {
    this.queueSeconds ??= this.elapsedSeconds();
  }

  prefilled(prefillSeconds: number, numQueriedTokens: number, numCachedTokens: number): void {
    this.prompt = { numQueriedTokens, numCachedTokens };
    this.seconds.prefill = prefillSeconds;
    this.seconds.firstToken = this.elapsedSeconds();
  }

  addRound(round: RoundStats, decodeSeconds: number, baselineSeconds: number): void {
    this.stats.addRound(round.numDraftTokens, round.numAcceptedDraftTokens, round.drafter);
    this.seconds.decode += decodeSeconds;
    this.seconds.draft += round.draftSeconds;
    this.seconds.verify += round.verifySeconds;
    this.seconds.sample += round.sampleSeconds;
    this.baselineSeconds += baselineSeconds;
  }

  /** Seconds since it was last called; 0 the first time. */
  sinceLastOutput(): number {
    const now = performance.now();
    const seconds = (now - (this.lastOutputAt ?? now)) / 1000;
    this.lastOutputAt = now;
    return seconds;
  }

  report(numPromptTokens: number, numCompletionTokens: number, baseline: Baseline | null): GenerationReport {
    const { seconds } = this;
    return {
      numPromptTokens,
      ...this.prompt,
      numCompletionTokens,
      speculation: this.stats.counters(),
      timings: {
        queueSeconds: this.queueSeconds ?? this.elapsedSeconds(),
        prefillSeconds: seconds.prefill,
        timeToFirstTokenSeconds: seconds.firstToken,
        decodeSeconds: seconds.decode,
        draftSeconds: seconds.draft,
        verifySeconds: seconds.verify,
        sampleSeconds: seconds.sample,
        totalSeconds: this.elapsedSeconds(),
      },
      baseline,
    };
  }

  private elapsedSeconds(): number {
    return (performance.now() - this.admittedAt) / 1000;
  }
}
