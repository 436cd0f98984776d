/**
 * The main thread's side of the engine: checks requests against the model, admits them to a bounded queue, and hands
 * the worker's messages to their runs. Knows nothing of HTTP.
 */
import { Worker } from 'node:worker_threads';
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
import type { MainMessage, WorkerMessage, WorkerOptions } from './protocol.ts';

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
}

/** Resolves when the model is loaded and its steps are measured; throws ForetokenError `invalid_model`. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const engine = new WorkerEngine(options, await loadTokenizer(options.modelFolder));
  await engine.whenReady;
  return engine;
}

/** A worker thread takes no TypeScript: where this file runs from source, the compiled worker of `dist` does. */
function startWorker(workerData: WorkerOptions): Worker {
  const file = import.meta.url.endsWith('.ts') ? '../../dist/engine/worker.js' : './worker.js';
  return new Worker(new URL(file, import.meta.url), { workerData });
}

const INEXACT =
  'on this processor the kernels round otherwise at different widths: text may depend on speculation, and on what of the ' +
  'prompt is cached, where two tokens are nearly equally likely';

class WorkerEngine implements Engine {
  readonly whenReady: Promise<void>;
  state: EngineState = 'loading';
  private readonly options: EngineOptions;
  private readonly tokenizer: TextTokenizer;
  private readonly worker: Worker;
  private readonly runs = new Map<number, GenerationRun>();
  private description: ModelDescription | null = null;
  private fim: FimTokenIds | null = null;
  private kvMemory: KvMemory | null = null;
  private kvUsage: KvUsage = { runningBytes: 0, keptBytes: 0 };
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
    this.worker = startWorker({ modelFolder, numThreads, maxNumSeqs, kvCacheMib });
    this.worker.on('message', (message: WorkerMessage) => this.receive(message));
    this.worker.on('error', (err) =>
      this.failAll('engine_failed', `the engine worker failed: ${err.message}`),
    );
    this.worker.on('exit', (code) =>
      this.failAll('engine_failed', `the engine worker ended with exit code ${code}`),
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
      send: (message) => this.send(message),
      done: () => this.runs.delete(id),
    });
    this.runs.set(id, run);
    run.start();
    if (signal?.aborted === true) run.abort();
    signal?.addEventListener('abort', () => run.abort(), { once: true });
    return run.events;
  }

  async close(): Promise<void> {
    if (this.state === 'closed') return;
    const hasEnded = this.state === 'failed';
    this.state = 'closed';
    for (const run of this.runs.values())
      run.fail(new ForetokenError('engine_failed', 'the engine is closing'));
    if (hasEnded) return;
    const exited = new Promise<void>((resolve) => {
      this.worker.once('exit', () => resolve());
    });
    this.send({ type: 'engine-close' });
    await exited;
  }

  private send(message: MainMessage): void {
    this.worker.postMessage(message);
  }

  private receive(message: WorkerMessage): void {
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
        return;
      case 'kv-memory-used':
        this.kvUsage = message.usage;
        return;
      case 'engine-failed':
        this.failAll(message.code, message.message, message.param);
        return;
      default:
        this.runs.get(message.id)?.receive(message);
    }
  }

  private failAll(code: ForetokenError['code'], reason: string, param: string | null = null): void {
    if (this.state === 'closed' || this.state === 'failed') return;
    this.state = 'failed';
    const error = new ForetokenError(code, reason, param);
    this.options.logger.error({ err: error }, 'engine failed');
    for (const run of this.runs.values()) run.fail(error);
    this.rejectReady(error);
  }
}
