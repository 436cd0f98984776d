/**
 * The way from the server to the engine: closed while the model loads, when the engine has died and once the server
 * drains. Knows nothing of HTTP.
 */
import type { Engine, GenerationRequest, ModelDescription } from '../engine/generation.ts';
import { ForetokenError } from '../errors.ts';
import { admitChoices, mergeChoices, type ChoiceEvent } from './choices.ts';

export type GateStatus = 'loading' | 'ready' | 'draining' | 'failed';

export class EngineGate {
  #engine: Engine | null = null;
  #draining = false;
  #numActive = 0;
  #idleListeners: (() => void)[] = [];

  /** Lets requests through to an engine that is ready. */
  open(engine: Engine): void {
    this.#engine = engine;
  }

  /** Refuses new requests from now on; running ones go on. */
  startDraining(): void {
    this.#draining = true;
  }

  get status(): GateStatus {
    const engineState = this.#engine?.state ?? 'loading';
    if (engineState === 'failed') return 'failed';
    // Also once the engine is closed: that is the drain's end.
    if (this.#draining) return 'draining';
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

  /** Admits all choices or, by throwing, none. Who stops reading before the end must abort `signal`. */
  generate(requests: readonly GenerationRequest[], signal: AbortSignal): AsyncIterable<ChoiceEvent> {
    this.assertReady();
    const admitted = admitChoices(this.#engine!, requests, signal);
    let active = true;
    this.#numActive += 1;
    const release = (): void => {
      if (!active) return;
      active = false;
      this.#numActive -= 1;
      if (this.#numActive === 0) for (const listener of this.#idleListeners.splice(0)) listener();
    };
    // An iteration that was never begun runs no `finally`; its abort releases it.
    signal.addEventListener('abort', release, { once: true });
    return mergeChoices(admitted, release);
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
