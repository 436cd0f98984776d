/**
 * What happens, as Prometheus series, in a registry of its own, so that several servers fit into one process.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { EngineLoad, EngineObserver, FinishedRound, RequestOutcome } from './engine-observer.ts';
import { measureEventLoopLag } from './event-loop-lag.ts';
import type { GenerationReport } from './generation-report.ts';
import { RequestMetrics } from './request-metrics.ts';

/** A loaded model and how busy it is. */
export interface MeasuredEngine {
  readonly model: { readonly id: string; readonly maxSpecTokens: number };
  load(): EngineLoad;
}

interface RoundMetrics {
  readonly interTokenLatency: Histogram;
  readonly stepSeconds: Histogram;
  readonly depth: Histogram;
  readonly sharing: Histogram;
}

const stepBuckets = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

export class PrometheusMetrics implements EngineObserver {
  readonly #registry = new Registry();
  readonly #stopLag: () => void;
  #labels: { model_name: string } | null = null;
  #requests: RequestMetrics | null = null;
  #rounds: RoundMetrics | null = null;
  #restarts: Counter | null = null;

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    this.#stopLag = measureEventLoopLag(this.#registry);
  }

  /** From here on there is a model to label series with; what came before was not traffic. */
  watch(engine: MeasuredEngine): void {
    const labels = { model_name: engine.model.id };
    this.#labels = labels;
    this.#requests = new RequestMetrics(this.#registry, labels);
    this.#rounds = this.#roundMetrics(engine.model.maxSpecTokens);
    this.#restarts = new Counter({
      name: 'foretoken_engine_restarts_total',
      help: 'Engine workers started in place of one that died',
      labelNames: ['model_name'],
      registers: [this.#registry],
    });
    this.#restarts.inc(labels, 0);
    this.#gauge(
      'foretoken_engine_workers',
      'Engine workers that are ready for requests',
      () => engine.load().numWorkers,
    );
    this.#gauge(
      'vllm:num_requests_running',
      'Requests that are being generated',
      () => engine.load().numRunning,
    );
    this.#gauge('vllm:num_requests_waiting', 'Requests in the queue', () => engine.load().numWaiting);
    this.#gauge(
      'vllm:kv_cache_usage_perc',
      'Share of the KV memory that running requests have reserved, 0 to 1',
      () => engine.load().kvCacheUsage,
    );
    this.#gauge(
      'foretoken_prefix_cache_usage_perc',
      'Share of the KV memory that keeps prefixes of ended requests until it is needed, 0 to 1',
      () => engine.load().prefixCacheUsage,
    );
  }

  roundFinished(round: FinishedRound): void {
    const labels = this.#labels;
    if (labels === null || this.#rounds === null) return;
    const { numDraftTokens, drafter, draftSeconds, verifySeconds, sampleSeconds } = round;
    const { interTokenLatency, stepSeconds, depth, sharing } = this.#rounds;
    interTokenLatency.observe(labels, round.latencySeconds);
    if (numDraftTokens > 0 && drafter === 'mtp')
      stepSeconds.observe({ ...labels, phase: 'draft' }, draftSeconds);
    stepSeconds.observe({ ...labels, phase: 'verify' }, verifySeconds);
    stepSeconds.observe({ ...labels, phase: 'sample' }, sampleSeconds);
    depth.observe(labels, numDraftTokens);
    sharing.observe(labels, round.numSharing);
  }

  requestFinished(outcome: RequestOutcome, report: GenerationReport): void {
    this.#requests?.add(outcome, report);
  }

  workerRestarted(): void {
    if (this.#labels !== null) this.#restarts?.inc(this.#labels);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  close(): void {
    this.#stopLag();
  }

  #roundMetrics(maxSpecTokens: number): RoundMetrics {
    const registers = [this.#registry];
    return {
      interTokenLatency: new Histogram({
        name: 'vllm:inter_token_latency_seconds',
        help: 'Time from one output of a request to the next',
        labelNames: ['model_name'],
        buckets: stepBuckets,
        registers,
      }),
      stepSeconds: new Histogram({
        name: 'foretoken_decode_step_seconds',
        help: 'Time of a round by phase, its share of passes that requests share',
        labelNames: ['model_name', 'phase'],
        buckets: stepBuckets,
        registers,
      }),
      depth: new Histogram({
        name: 'foretoken_speculation_depth',
        help: 'Drafts per round',
        labelNames: ['model_name'],
        buckets: [...Array(maxSpecTokens + 1).keys()],
        registers,
      }),
      sharing: new Histogram({
        name: 'foretoken_sequences_per_pass',
        help: 'Requests whose rounds shared passes over the weights, by round of each',
        labelNames: ['model_name'],
        buckets: [1, 2, 4, 8],
        registers,
      }),
    };
  }

  #gauge(name: string, help: string, read: () => number): void {
    const labels = this.#labels!;
    const registers = [this.#registry];
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames: ['model_name'],
      registers,
      collect: () => gauge.set(labels, read()),
    });
  }
}
