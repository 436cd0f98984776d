/**
 * Keeps a worker running: where one dies, another takes its place, after a pause that grows, until as many have died in
 * a row as there are pauses and one more. Knows nothing of requests.
 */
import { Worker } from 'node:worker_threads';
import { ForetokenError } from '../errors.ts';
import type { MainMessage, WorkerMessage, WorkerOptions } from './protocol.ts';

/**
 * What is needed of a thread. It ends with 'exit', whatever else it emits before. It is never terminated from outside:
 * that would take the process with it if ONNX Runtime's code is running.
 */
export interface WorkerThread {
  on(event: 'message', listener: (messages: readonly WorkerMessage[]) => void): unknown;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'exit', listener: (code: number) => void): unknown;
  postMessage(message: MainMessage): void;
}

export type StartWorker = (options: WorkerOptions) => WorkerThread;

/** A worker thread takes no TypeScript: where this file runs from source, the compiled worker of `dist` does. */
export const startWorkerThread: StartWorker = (workerData) => {
  // ONNX Runtime would else keep a file of what it did, and try to send it to its makers.
  process.env['ORT_DISABLE_TELEMETRY'] ??= '1';
  const file = import.meta.url.endsWith('.ts') ? '../../dist/engine/worker.js' : './worker.js';
  return new Worker(new URL(file, import.meta.url), { workerData });
};

/** What a worker that goes on has to say. */
export type LiveMessage = Exclude<WorkerMessage, { readonly type: 'engine-failed' }>;

export interface SupervisorEvents {
  received(message: LiveMessage): void;
  /** The worker died before any was ready: nothing says that another would get further. */
  failedToStart(reason: ForetokenError): void;
  /** Another worker will be started after the pause. */
  died(reason: ForetokenError, pauseMs: number): void;
  restarted(): void;
  /** Too many have died in a row. */
  gaveUp(reason: ForetokenError): void;
}

const PAUSES_MS = [250, 500, 1000, 2000];

export class WorkerSupervisor {
  private readonly start: () => WorkerThread;
  private readonly events: SupervisorEvents;
  private worker: WorkerThread | null = null;
  private wasEverReady: boolean;
  private numDeaths = 0;
  private pause: NodeJS.Timeout | undefined;
  private isClosed = false;
  private reportExit: () => void = () => {};

  /** `wasEverReady`: whether one like it has been before. */
  constructor(start: () => WorkerThread, events: SupervisorEvents, wasEverReady = false) {
    this.start = start;
    this.events = events;
    this.wasEverReady = wasEverReady;
    this.launch();
  }

  /** What is sent while there is no worker is lost. */
  send(message: MainMessage): void {
    this.worker?.postMessage(message);
  }

  /** The worker has done what it is there for: earlier deaths no longer count. */
  succeeded(): void {
    this.numDeaths = 0;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.pause);
    const { worker } = this;
    if (worker === null) return;
    const exited = new Promise<void>((resolve) => {
      this.reportExit = resolve;
    });
    // One that still loads hears of it afterwards.
    worker.postMessage({ type: 'engine-close' });
    await exited;
  }

  private launch(): void {
    const worker = this.start();
    this.worker = worker;
    let reason: ForetokenError | null = null;
    worker.on('message', (messages) => {
      for (const message of messages) {
        if (message.type === 'engine-failed') {
          reason = new ForetokenError(message.code, message.message, message.param);
          continue;
        }
        if (message.type === 'engine-ready') this.wasEverReady = true;
        this.events.received(message);
      }
    });
    worker.on('error', (error) => {
      const message = error instanceof Error ? error.message : String(error);
      reason = new ForetokenError('engine_failed', `the engine worker failed: ${message}`);
    });
    worker.on('exit', (code) => {
      this.worker = null;
      if (this.isClosed) this.reportExit();
      else
        this.died(
          reason ?? new ForetokenError('engine_failed', `the engine worker ended with exit code ${code}`),
        );
    });
  }

  private died(reason: ForetokenError): void {
    const pauseMs = PAUSES_MS[this.numDeaths];
    this.numDeaths += 1;
    if (!this.wasEverReady) return this.events.failedToStart(reason);
    if (pauseMs === undefined) return this.events.gaveUp(reason);
    this.events.died(reason, pauseMs);
    this.pause = setTimeout(() => {
      this.launch();
      this.events.restarted();
    }, pauseMs);
  }
}
