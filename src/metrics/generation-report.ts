/** Raw counters of one request, and the wire form derived from them (names: vLLM's, llama.cpp's, OpenAI's). */
import type { SpecDecodeCounters } from './spec-decode-stats.ts';
import { specDecodeReport, type SpecDecodeReport } from './spec-decode-stats.ts';

/** Times of one request in seconds. Draft, verify and sample are parts of decode and prefill. */
export interface GenerationTimings {
  readonly queueSeconds: number;
  readonly prefillSeconds: number;
  /** From admission to the first token. */
  readonly timeToFirstTokenSeconds: number;
  /** Work of this request's own rounds after its first token; other requests' turns are not in it. */
  readonly decodeSeconds: number;
  readonly draftSeconds: number;
  readonly verifySeconds: number;
  readonly sampleSeconds: number;
  /** From admission to the end. */
  readonly totalSeconds: number;
}

/** The same tokens by plain decoding: `calibrated` from measured step costs, `measured` by a replay. */
export interface Baseline {
  readonly method: 'calibrated' | 'measured';
  readonly seconds: number;
  /** Only `measured`: whether decoding without speculation gave the same token ids. */
  readonly identical?: boolean;
  /** Only `measured`: what `calibrated` would have said. */
  readonly calibratedSeconds?: number;
}

export interface GenerationReport {
  readonly numPromptTokens: number;
  /** Prompt tokens looked up in the prefix cache; 0 where it was not asked. */
  readonly numQueriedTokens: number;
  /** Of these, how many were found there and not computed. */
  readonly numCachedTokens: number;
  readonly numCompletionTokens: number;
  readonly speculation: SpecDecodeCounters;
  readonly timings: GenerationTimings;
  /** Null where nothing was decoded after the first token, or nothing is known: no speedup is then reported. */
  readonly baseline: Baseline | null;
}

export interface UsageReport {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
}

export interface SpeedupReport {
  factor: number;
  method: 'calibrated' | 'measured';
  decode_seconds: number;
  baseline_seconds: number;
  tokens_per_second: number;
  baseline_tokens_per_second: number;
  identical?: boolean;
}

export interface MetricsReport {
  speculative_decoding: SpecDecodeReport;
  speedup: SpeedupReport | null;
  timings: {
    queue_seconds: number;
    prefill_seconds: number;
    time_to_first_token_seconds: number;
    draft_seconds: number;
    verify_seconds: number;
    sample_seconds: number;
  };
}

export interface LlamaTimings {
  cache_n: number;
  prompt_n: number;
  prompt_ms: number;
  predicted_n: number;
  predicted_ms: number;
  predicted_per_second: number;
  draft_n: number;
  draft_n_accepted: number;
}

export function usageReport(report: GenerationReport): UsageReport {
  return {
    prompt_tokens: report.numPromptTokens,
    completion_tokens: report.numCompletionTokens,
    total_tokens: report.numPromptTokens + report.numCompletionTokens,
    prompt_tokens_details: { cached_tokens: report.numCachedTokens },
  };
}

/** Tokens per second count the tokens after the first, whose time is prefill's. */
export function speedupReport(report: GenerationReport): SpeedupReport | null {
  const { baseline } = report;
  const { decodeSeconds } = report.timings;
  const numDecoded = report.numCompletionTokens - 1;
  if (baseline === null || numDecoded < 1 || decodeSeconds <= 0 || baseline.seconds <= 0) return null;
  return {
    factor: baseline.seconds / decodeSeconds,
    method: baseline.method,
    decode_seconds: decodeSeconds,
    baseline_seconds: baseline.seconds,
    tokens_per_second: numDecoded / decodeSeconds,
    baseline_tokens_per_second: numDecoded / baseline.seconds,
    ...(baseline.identical === undefined ? {} : { identical: baseline.identical }),
  };
}

export function metricsReport(report: GenerationReport): MetricsReport {
  const { timings } = report;
  return {
    speculative_decoding: specDecodeReport(report.speculation),
    speedup: speedupReport(report),
    timings: {
      queue_seconds: timings.queueSeconds,
      prefill_seconds: timings.prefillSeconds,
      time_to_first_token_seconds: timings.timeToFirstTokenSeconds,
      draft_seconds: timings.draftSeconds,
      verify_seconds: timings.verifySeconds,
      sample_seconds: timings.sampleSeconds,
    },
  };
}

export function llamaTimings(report: GenerationReport): LlamaTimings {
  const { timings, speculation } = report;
  const { decodeSeconds } = timings;
  return {
    cache_n: report.numCachedTokens,
    prompt_n: report.numPromptTokens - report.numCachedTokens,
    prompt_ms: timings.prefillSeconds * 1000,
    predicted_n: report.numCompletionTokens,
    predicted_ms: decodeSeconds * 1000,
    predicted_per_second: decodeSeconds > 0 ? (report.numCompletionTokens - 1) / decodeSeconds : 0,
    draft_n: speculation.numDraftTokens,
    draft_n_accepted: speculation.numAcceptedDraftTokens,
  };
}
