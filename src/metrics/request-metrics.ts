/** Counters and histograms over finished requests, under vLLM's names; sums of what the requests report. */
import { Counter, Histogram, type Registry } from 'prom-client';
import type { RequestOutcome } from './engine-observer.ts';
import type { GenerationReport } from './generation-report.ts';

type Labels = Record<string, string | number>;

const outcomes: readonly RequestOutcome[] = ['stop', 'length', 'abort', 'error'];
const requestBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120];
const firstTokenBuckets = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 20, 40,
];
const perTokenBuckets = [
  0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1,
];

export class RequestMetrics {
  readonly #labels: Labels;
  readonly #counters: readonly { counter: Counter; amount: (report: GenerationReport) => number }[];
  readonly #histograms: readonly {
    histogram: Histogram;
    value: (report: GenerationReport) => number | null;
  }[];
  readonly #success: Counter;
  readonly #acceptedPerPosition: Counter;

  constructor(registry: Registry, labels: Labels) {
    this.#labels = labels;
    const labelNames = Object.keys(labels);
    const registers = [registry];
    const counter = (name: string, help: string, amount: (report: GenerationReport) => number) => ({
      counter: new Counter({ name, help, labelNames, registers }),
      amount,
    });
    const histogram = (
      name: string,
      help: string,
      buckets: readonly number[],
      value: (report: GenerationReport) => number | null,
    ) => ({ histogram: new Histogram({ name, help, labelNames, registers, buckets: [...buckets] }), value });

    this.#counters = [
      counter('vllm:prompt_tokens_total', 'Prompt tokens', (report) => report.numPromptTokens),
      counter('vllm:generation_tokens_total', 'Generated tokens', (report) => report.numCompletionTokens),
      counter(
        'vllm:prefix_cache_queries_total',
        'Prompt tokens looked up in the prefix cache',
        (report) => report.numQueriedTokens,
      ),
      counter(
        'vllm:prefix_cache_hits_total',
        'Prompt tokens found in the prefix cache',
        (report) => report.numCachedTokens,
      ),
      counter(
        'vllm:spec_decode_num_drafts_total',
        'Rounds with drafts',
        ({ speculation }) => speculation.numSpecSteps,
      ),
      counter(
        'vllm:spec_decode_num_draft_tokens_total',
        'Drafted tokens',
        ({ speculation }) => speculation.numDraftTokens,
      ),
      counter(
        'vllm:spec_decode_num_accepted_tokens_total',
        'Accepted drafts',
        ({ speculation }) => speculation.numAcceptedDraftTokens,
      ),
      counter(
        'foretoken_prompt_lookup_draft_tokens_total',
        'Drafts that were looked up in prompt and output',
        ({ speculation }) => speculation.promptLookup.numDraftTokens,
      ),
      counter(
        'foretoken_prompt_lookup_accepted_tokens_total',
        'Accepted drafts that were looked up in prompt and output',
        ({ speculation }) => speculation.promptLookup.numAcceptedDraftTokens,
      ),
      counter(
        'foretoken_earlier_text_draft_tokens_total',
        'Drafts that were looked up in what earlier requests went on with',
        ({ speculation }) => speculation.earlierText.numDraftTokens,
      ),
      counter(
        'foretoken_earlier_text_accepted_tokens_total',
        'Accepted drafts that were looked up in what earlier requests went on with',
        ({ speculation }) => speculation.earlierText.numAcceptedDraftTokens,
      ),
      counter(
        'foretoken_decode_seconds_total',
        'Time of decoding after first tokens, where the baseline is known',
        ({ baseline, timings }) => (baseline === null ? 0 : timings.decodeSeconds),
      ),
      counter(
        'foretoken_baseline_seconds_total',
        'Time of the same tokens by plain decoding',
        ({ baseline }) => baseline?.seconds ?? 0,
      ),
    ];
    this.#histograms = [
      histogram(
        'vllm:time_to_first_token_seconds',
        'Admission to first token',
        firstTokenBuckets,
        (report) => (report.numCompletionTokens > 0 ? report.timings.timeToFirstTokenSeconds : null),
      ),
      histogram(
        'vllm:request_time_per_output_token_seconds',
        'Decode time by tokens after the first',
        perTokenBuckets,
        ({ timings, numCompletionTokens }) =>
          numCompletionTokens > 1 ? timings.decodeSeconds / (numCompletionTokens - 1) : null,
      ),
      histogram(
        'vllm:e2e_request_latency_seconds',
        'Admission to end',
        requestBuckets,
        ({ timings }) => timings.totalSeconds,
      ),
      histogram(
        'vllm:request_queue_time_seconds',
        'Time waiting for admission',
        requestBuckets,
        ({ timings }) => timings.queueSeconds,
      ),
      histogram(
        'vllm:request_prefill_time_seconds',
        'Time of prefill',
        requestBuckets,
        ({ timings }) => timings.prefillSeconds,
      ),
      histogram(
        'vllm:request_decode_time_seconds',
        'Time of decoding after the first token',
        requestBuckets,
        ({ timings }) => timings.decodeSeconds,
      ),
    ];
    this.#success = new Counter({
      name: 'vllm:request_success_total',
      help: 'Requests by how they ended',
      labelNames: [...labelNames, 'finished_reason'],
      registers,
    });
    this.#acceptedPerPosition = new Counter({
      name: 'vllm:spec_decode_num_accepted_tokens_per_pos_total',
      help: 'Accepted drafts by position',
      labelNames: [...labelNames, 'position'],
      registers,
    });
    // A series that starts at zero has a rate from its first request on.
    for (const { counter: zero } of this.#counters) zero.inc(labels, 0);
    for (const outcome of outcomes) this.#success.inc({ ...labels, finished_reason: outcome }, 0);
  }

  add(outcome: RequestOutcome, report: GenerationReport): void {
    const labels = this.#labels;
    for (const { counter, amount } of this.#counters) counter.inc(labels, amount(report));
    for (const { histogram, value } of this.#histograms) {
      const observed = value(report);
      if (observed !== null) histogram.observe(labels, observed);
    }
    this.#success.inc({ ...labels, finished_reason: outcome });
    for (const [position, accepted] of report.speculation.numAcceptedPerPosition.entries()) {
      this.#acceptedPerPosition.inc({ ...labels, position }, accepted);
    }
  }
}
