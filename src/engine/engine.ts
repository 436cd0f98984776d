/**
 * The main thread's side of the engine: checks requests against the model, admits them to a bounded queue, and hands
 * the worker's messages to their runs. Knows nothing of HTTP.
 */
import type { Logger } from 'pino';
import { ForetokenError } from '../errors.ts';
import type { FimFormat } from '../model/manifest.ts';
import { WeightOwner } from '../model/shared-weights.ts';
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
import { GenerationRun } from './generation-run.ts';
import type { WorkerMessage } from './protocol.ts';
import { checkRequest, encodePrompt, resolveSpeculation } from './prompt.ts';
import { WorkerPool } from './worker-pool.ts';
import { startWorkerThread, type StartWorker } from './worker-supervisor.ts';

export interface EngineOptions {
  /** A model folder. */
  readonly modelFolder: string;
  /** Threads of a forward; 0 chooses. */
  readonly numThreads: number;
  /** Workers, each with a model of its own; absent or 0: as many as have cores for their threads. */
  readonly numWorkers?: number;
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

/**
 * Resolves when a worker has loaded the model and measured its steps; the others load meanwhile. Throws ForetokenError
 * `invalid_model`.
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { modelFolder } = options;
  const tokenizer = await loadTokenizer(modelFolder);
  const engine = new WorkerEngine(options, tokenizer, await WeightOwner.of(modelFolder));
  try {
    await engine.whenReady;
  } catch (error) {
    await engine.close();
    throw error;
  }
  return engine;
}

const INEXACT =
  'on this processor the kernels round otherwise at different widths: text may depend on speculation, and on what of the ' +
  'prompt is cached, where two tokens are nearly equally likely';

class WorkerEngine implements Engine {
  readonly whenReady: Promise<void>;
  private ended: 'failed' | 'closed' | null = null;
  private readonly options: EngineOptions;
  private readonly tokenizer: TextTokenizer;
  private readonly weightOwner: WeightOwner;
  private readonly pool: WorkerPool;
  private readonly runs = new Map<number, GenerationRun>();
  private description: ModelDescription | null = null;
  private fim: FimFormat | null = null;
  private kvMemory: KvMemory | null = null;
  private nextId = 1;
  private resolveReady: () => void = () => {};
  private rejectReady: (error: ForetokenError) => void = () => {};

  constructor(options: EngineOptions, tokenizer: TextTokenizer, weightOwner: WeightOwner) {
    this.options = options;
    this.tokenizer = tokenizer;
    this.weightOwner = weightOwner;
    this.whenReady = new Promise((resolve, reject) => {
      this.resolveReady = resolve;
      this.rejectReady = reject;
    });
    const { modelFolder, numThreads, numWorkers = 0, maxNumSeqs, kvCacheMib = 0 } = options;
    const { startWorker = startWorkerThread } = options;
    this.pool = new WorkerPool(
      {
        modelFolder,
        weights: weightOwner.weights,
        threads: numThreads === 0 ? null : { numThreads, numSoloThreads: numThreads },
        numWorkers,
        maxNumSeqs,
        kvCacheMib,
        startWorker,
      },
      {
        loaded: (message) => this.loaded(message),
        ready: (tuning) => {
          options.logger.info({ tuning }, 'engine ready');
          this.resolveReady();
        },
        complete: () => options.logger.info({ numWorkers: this.pool.numWorkers }, 'all workers ready'),
        failedToStart: (reason) => this.rejectReady(reason),
        died: (reason, pauseMs) =>
          options.logger.error({ err: reason, pauseMs }, 'engine worker died, starting another'),
        restarted: () => options.observer.workerRestarted(),
        gaveUp: (reason) => this.gaveUp(reason),
      },
    );
  }

  get state(): EngineState {
    return this.ended ?? (this.pool.isReady ? 'ready' : 'loading');
  }

  get model(): ModelDescription {
    if (this.description === null)
      throw new ForetokenError('model_loading', 'the model is still being loaded');
    return this.description;
  }

  load(): EngineLoad {
    const runs = [...this.runs.values()];
    const numRunning = runs.filter((run) => run.isStarted).length;
    const budgetBytes = (this.kvMemory?.budgetBytes ?? 1) * this.pool.numWorkers;
    const { runningBytes, keptBytes } = this.pool.kvUsage;
    return {
      numWorkers: this.pool.numReady,
      numRunning,
      numWaiting: runs.length - numRunning,
      kvCacheUsage: runningBytes / budgetBytes,
      prefixCacheUsage: keptBytes / budgetBytes,
    };
  }

  generate(asked: GenerationRequest, signal?: AbortSignal): AsyncIterable<GenerationEvent> {
    if (this.ended !== null) throw new ForetokenError('engine_failed', 'the engine has stopped');
    const { model, options } = this;
    if (this.state === 'loading')
      throw new ForetokenError('model_loading', 'the model is being loaded again');
    checkRequest(asked, model);
    const capacity = options.maxNumSeqs + options.maxQueue;
    if (this.runs.size >= capacity) {
      throw new ForetokenError(
        'queue_full',
        `expected at most ${capacity} requests at a time, ${this.runs.size} are running or waiting`,
      );
    }
    const kvMemory = this.kvMemory!;
    const speculation = resolveSpeculation(asked, model, options);
    const isDrafting = speculation.maxDraftTokens > 0;
    const maxPositions = maxSequencePositions(kvMemory, isDrafting);
    const prompt = encodePrompt(asked, model, this.tokenizer, this.fim, maxPositions);
    assertFits(kvMemory, prompt, isDrafting);
    const request = { ...asked, cachePrompt: options.prefixCache !== false && asked.cachePrompt !== false };
    const id = this.nextId;
    this.nextId += 1;
    const run = new GenerationRun(id, request, prompt, speculation, {
      tokenizer: this.tokenizer,
      observer: options.observer,
      send: (message) => this.pool.send(id, message),
      done: (outcome) => {
        this.runs.delete(id);
        this.pool.remove(id, outcome === 'stop' || outcome === 'length');
      },
    });
    this.runs.set(id, run);
    this.pool.add(run);
    if (signal?.aborted === true) run.abort();
    signal?.addEventListener('abort', () => run.abort(), { once: true });
    return run.events;
  }

  async close(): Promise<void> {
    if (this.ended === 'closed') return;
    this.ended = 'closed';
    const closed = this.pool.close();
    this.failRuns(new ForetokenError('engine_failed', 'the engine is closing'));
    await closed;
    this.weightOwner.release();
  }

  private loaded(message: Extract<WorkerMessage, { readonly type: 'model-loaded' }>): void {
    const { logger } = this.options;
    const { model, fim, kvMemory, isExact, loadSeconds } = message;
    this.description = model;
    this.fim = fim;
    this.kvMemory = kvMemory;
    if (!isExact) logger.warn({ model: model.id }, INEXACT);
    logger.info({ model, kvMemory, loadSeconds }, 'model loaded, measuring step costs');
  }

  private gaveUp(reason: ForetokenError): void {
    this.ended = 'failed';
    this.options.logger.fatal({ err: reason }, 'engine workers died again and again, giving up');
    this.failRuns(new ForetokenError('engine_failed', 'the engine has failed'));
    this.options.onGaveUp?.();
  }

  private failRuns(error: ForetokenError): void {
    for (const run of this.runs.values()) run.fail(error);
  }
}
