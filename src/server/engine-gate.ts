/**
 * The way from the server to the engine: closed while the model loads, when the engine has died and once the server
 * drains, and narrowed to what one client may have running or waiting. Knows nothing of HTTP.
 */
import { setMaxListeners } from 'node:events';
import type { Engine, GenerationRequest, ModelDescription } from '../engine/generation.ts';
import { ForetokenError } from '../errors.ts';
import { admitChoices, mergeChoices, type ChoiceEvent } from './choices.ts';

export type GateStatus = 'loading' | 'ready' | 'draining' | 'failed';

export interface Caller {
  /** Whose limit the sequences count against. */
  readonly client: string;
  /** Ends the generation; with a ForetokenError as its reason, with that error. */
  readonly signal: AbortSignal;
}

export interface GateOptions {
  /** Sequences of one client that may run or wait; 0 or absent: any number. */
  readonly maxConcurrentPerClient?: number;
}

export class EngineGate {
  readonly #maxConcurrentPerClient: number;
  #engine: Engine | null = null;
  readonly #drain = new AbortController();
  #numActive = 0;
  readonly #numSequencesByClient = new Map<string, number>();
  #idleListeners: (() => void)[] = [];

  constructor({ maxConcurrentPerClient = 0 }: GateOptions = {}) {
    this.#maxConcurrentPerClient = maxConcurrentPerClient || Infinity;
    // Every socket listens.
    setMaxListeners(0, this.#drain.signal);
  }

  /** Lets requests through to an engine that is ready. */
  open(engine: Engine): void {
    this.#engine = engine;
  }

  /** Refuses new requests from now on; running ones go on. */
  startDraining(): void {
    this.#drain.abort();
  }

  /** Aborted when draining starts. */
  get draining(): AbortSignal {
    return this.#drain.signal;
  }

  /** Requests that run or wait. */
  get numActive(): number {
    return this.#numActive;
  }

  get status(): GateStatus {
    const engineState = this.#engine?.state ?? 'loading';
    if (engineState === 'failed') return 'failed';
    // Also once the engine is closed: that is the drain's end.
    if (this.#drain.signal.aborted) return 'draining';
    return engineState === 'closed' ? 'failed' : engineState;
  }

  get model(): ModelDescription {
    if (this.#engine === null) throw refusal('loading');
    return this.#engine.model;
  }

  /** Throws, by the status, before any work of a request that would be refused anyway. */
  assertReady(): void {
    const { status } = this;
    if (status !== 'ready') throw refusal(status);
  }

  /** Admits all choices or, by throwing, none. Who stops reading before the end must abort the signal. */
  generate(requests: readonly GenerationRequest[], { client, signal }: Caller): AsyncIterable<ChoiceEvent> {
    this.assertReady();
    if (signal.reason instanceof ForetokenError) throw signal.reason;
    const numSequences = this.#numSequencesByClient.get(client) ?? 0;
    this.#assertRoom(numSequences, requests.length);
    const admitted = admitChoices(this.#engine!, requests, signal);
    let active = true;
    this.#numActive += 1;
    this.#numSequencesByClient.set(client, numSequences + requests.length);
    const release = (): void => {
      if (!active) return;
      active = false;
      this.#numActive -= 1;
      const numLeft = this.#numSequencesByClient.get(client)! - requests.length;
      if (numLeft === 0) this.#numSequencesByClient.delete(client);
      else this.#numSequencesByClient.set(client, numLeft);
      if (this.#numActive === 0) for (const listener of this.#idleListeners.splice(0)) listener();
    };
    // An iteration that was never begun runs no `finally`; its abort releases it.
    signal.addEventListener('abort', release, { once: true });
    return mergeChoices(admitted, release);
  }

  #assertRoom(numSequences: number, numMore: number): void {
    const limit = this.#maxConcurrentPerClient;
    if (numMore > limit) {
      const message = `n: expected at most ${limit} sequences at a time, got ${numMore} choices`;
      throw new ForetokenError('invalid_request', message, 'n');
    }
    if (numSequences + numMore <= limit) return;
    const message = `expected at most ${limit} sequences at a time, ${numSequences} are running or waiting`;
    throw new ForetokenError('rate_limit_exceeded', message);
  }

  /** Resolves once nothing is being generated. */
  async whenIdle(): Promise<void> {
    if (this.#numActive === 0) return;
    await new Promise<void>((resolve) => {
      this.#idleListeners.push(resolve);
    });
  }
}

const refusals = {
  loading: ['model_loading', 'the model is being loaded'],
  draining: ['server_draining', 'the server is shutting down and takes no new requests'],
  failed: ['engine_failed', 'the engine has failed; the server must be restarted'],
} as const;

function refusal(status: Exclude<GateStatus, 'ready'>): ForetokenError {
  const [code, message] = refusals[status];
  return new ForetokenError(code, message);
}
