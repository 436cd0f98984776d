/**
 * The main thread's side of the engine: checks requests against the model, admits them to a bounded queue, and hands
 * the worker's messages to their runs. Knows nothing of HTTP.
 */
import type { Logger } from 'pino';
import { ForetokenError } from '../errors.ts';
import type { FimTokenIds } from '../model/manifest.ts';
import { loadTokenizer, type TextTokenizer } from '../tokenizer/tokenizer.ts';
import type {
  Engine,
  EngineState,
  GenerationEvent,
  GenerationRequest,
  ModelDescription,
} from './generation.ts';
import type { EngineLoad, EngineObserver } from '../metrics/engine-observer.ts';
import { assertFits, maxSequencePositions, type KvMemory } from './kv-memory.ts';
import type { KvUsage } from './kv-store.ts';
import { GenerationRun } from './generation-run.ts';
import { checkRequest, encodePrompt, resolveSpeculation } from './prompt.ts';
import {
  startWorkerThread,
  WorkerSupervisor,
  type LiveMessage,
  type StartWorker,
} from './worker-supervisor.ts';

export interface EngineOptions {
  /** A model folder. */
  readonly modelFolder: string;
  /** Threads of a forward; 0 chooses. */
  readonly numThreads: number;
  /** Requests that take turns; further ones wait. */
  readonly maxNumSeqs: number;
  /** Requests that may wait; further ones are refused with `queue_full`. */
  readonly maxQueue: number;
  /** KV memory of running and kept sequences, in MiB; absent or 0: room for `maxNumSeqs` whole contexts, at least 256. */
  readonly kvCacheMib?: number;
  /** Whether prompts may reuse the KV of earlier ones that begin alike. Absent: true. */
  readonly prefixCache?: boolean;
  /** Most drafts a round by default; absent: the model's own. */
  readonly numDraftTokens?: number;
  /** For requests that say nothing of it. */
  readonly speculation: 'auto' | 'off';
  readonly observer: EngineObserver;
  readonly logger: Logger;
  /** Called once if workers died again and again, and nothing will bring the engine back. */
  readonly onGaveUp?: () => void;
  /** Absent: threads. */
  readonly startWorker?: StartWorker;
}

/** Resolves when the model is loaded and its steps are measured; throws ForetokenError `invalid_model`. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const engine = new WorkerEngine(options, await loadTokenizer(options.modelFolder));
  await engine.whenReady;
  return engine;
}

const INEXACT =
  'on this processor the kernels round otherwise at different widths: text may depend on speculation, and on what of the ' +
  'prompt is cached, where two tokens are nearly equally likely';

const NOTHING_USED: KvUsage = { runningBytes: 0, keptBytes: 0 };

class WorkerEngine implements Engine {
  readonly whenReady: Promise<void>;
  state: EngineState = 'loading';
  private readonly options: EngineOptions;
  private readonly tokenizer: TextTokenizer;
  private readonly supervisor: WorkerSupervisor;
  private readonly runs = new Map<number, GenerationRun>();
  private description: ModelDescription | null = null;
  private fim: FimTokenIds | null = null;
  private kvMemory: KvMemory | null = null;
  private kvUsage = NOTHING_USED;
  private nextId = 1;
  private resolveReady: () => void = () => {};
  private rejectReady: (error: ForetokenError) => void = () => {};

  constructor(options: EngineOptions, tokenizer: TextTokenizer) {
    this.options = options;
    this.tokenizer = tokenizer;
    this.whenReady = new Promise((resolve, reject) => {
      this.resolveReady = resolve;
      this.rejectReady = reject;
    });
    const { modelFolder, numThreads, maxNumSeqs, kvCacheMib = 0 } = options;
    const startWorker = options.startWorker ?? startWorkerThread;
    this.supervisor = new WorkerSupervisor(
      () => startWorker({ modelFolder, numThreads, maxNumSeqs, kvCacheMib }),
      {
        received: (message) => this.receive(message),
        died: (reason, pauseMs) => this.workerDied(reason, pauseMs),
        restarted: () => options.observer.workerRestarted(),
        failedToStart: (reason) => this.rejectReady(reason),
        gaveUp: (reason) => this.gaveUp(reason),
      },
    );
  }

  get model(): ModelDescription {
    if (this.description === null)
      throw new ForetokenError('model_loading', 'the model is still being loaded');
    return this.description;
  }

  load(): EngineLoad {
    const runs = [...this.runs.values()];
    const numRunning = runs.filter((run) => run.isStarted).length;
    const budgetBytes = this.kvMemory?.budgetBytes ?? 1;
    return {
      numRunning,
      numWaiting: runs.length - numRunning,
      kvCacheUsage: this.kvUsage.runningBytes / budgetBytes,
      prefixCacheUsage: this.kvUsage.keptBytes / budgetBytes,
    };
  }

  generate(asked: GenerationRequest, signal?: AbortSignal): AsyncIterable<GenerationEvent> {
    if (this.state === 'failed' || this.state === 'closed')
      throw new ForetokenError('engine_failed', 'the engine has stopped');
    const { model, options } = this;
    if (this.state === 'loading')
      throw new ForetokenError('model_loading', 'the model is being loaded again');
    checkRequest(asked, model);
    const kvMemory = this.kvMemory!;
    const speculation = resolveSpeculation(asked, model, options);
    const isDrafting = speculation.maxDraftTokens > 0;
    const maxPositions = maxSequencePositions(kvMemory, isDrafting);
    const prompt = encodePrompt(asked, model, this.tokenizer, this.fim, maxPositions);
    assertFits(kvMemory, prompt, isDrafting);
    const request = { ...asked, cachePrompt: options.prefixCache !== false && asked.cachePrompt !== false };
    const capacity = options.maxNumSeqs + options.maxQueue;
    if (this.runs.size >= capacity) {
      throw new ForetokenError(
        'queue_full',
        `expected at most ${capacity} requests at a time, ${this.runs.size} are running or waiting`,
      );
    }
    const id = this.nextId;
    this.nextId += 1;
    const run = new GenerationRun(id, request, prompt, speculation, {
      tokenizer: this.tokenizer,
      observer: options.observer,
      send: (message) => this.supervisor.send(message),
      done: (outcome) => {
        this.runs.delete(id);
        if (outcome === 'stop' || outcome === 'length') this.supervisor.succeeded();
      },
    });
    this.runs.set(id, run);
    run.start();
    if (signal?.aborted === true) run.abort();
    signal?.addEventListener('abort', () => run.abort(), { once: true });
    return run.events;
  }

  async close(): Promise<void> {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.failRuns(new ForetokenError('engine_failed', 'the engine is closing'));
    await this.supervisor.close();
  }

  private receive(message: LiveMessage): void {
    const { logger } = this.options;
    switch (message.type) {
      case 'model-loaded':
        this.description = message.model;
        this.fim = message.fim;
        this.kvMemory = message.kvMemory;
        if (!message.isExact) logger.warn({ model: message.model.id }, INEXACT);
        logger.info(
          { model: message.model, kvMemory: message.kvMemory, loadSeconds: message.loadSeconds },
          'model loaded, measuring step costs',
        );
        return;
      case 'engine-ready':
        this.state = 'ready';
        logger.info({ calibration: message.calibration }, 'engine ready');
        this.resolveReady();
        // Those that a dead worker left behind, in the order in which they came.
        for (const run of this.runs.values()) run.start();
        return;
      case 'kv-memory-used':
        this.kvUsage = message.usage;
        return;
      default:
        this.runs.get(message.id)?.receive(message);
    }
  }

  private workerDied(reason: ForetokenError, pauseMs: number): void {
    this.state = 'loading';
    this.kvUsage = NOTHING_USED;
    this.options.logger.error({ err: reason, pauseMs }, 'engine worker died, starting another');
    const error = new ForetokenError('engine_failed', 'the engine failed while it worked on this request');
    for (const run of this.runs.values()) run.workerDied(error);
  }

  private gaveUp(reason: ForetokenError): void {
    this.state = 'failed';
    this.kvUsage = NOTHING_USED;
    this.options.logger.fatal({ err: reason }, 'engine workers died again and again, giving up');
    this.failRuns(new ForetokenError('engine_failed', 'the engine has failed'));
    this.options.onGaveUp?.();
  }

  private failRuns(error: ForetokenError): void {
    for (const run of this.runs.values()) run.fail(error);
  }
}
