/** A real engine in every respect but the model: it admits, queues, takes turns, aborts, fails and is observed. */
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  Engine,
  EngineState,
  GenerationEvent,
  GenerationRequest,
  ModelDescription,
} from '../../src/engine/generation.ts';
import type { EngineLoad, EngineObserver, FinishReason } from '../../src/metrics/engine-observer.ts';
import { ForetokenError } from '../../src/errors.ts';
import { SpecDecodeStats } from '../../src/metrics/spec-decode-stats.ts';
import { generatedToken, Script, ScriptedRun, scriptedVocabSize } from './scripted-run.ts';

export interface ScriptedEngineOptions {
  readonly maxRunning?: number;
  readonly maxQueue?: number;
  readonly roundMs?: number;
  /** No round begins before this. */
  readonly hold?: Promise<void>;
  /** The engine throws in place of this round, counted from 0. */
  readonly failingRound?: number;
  readonly observer?: EngineObserver;
  readonly model?: Partial<ModelDescription>;
}

export class ScriptedEngine implements Engine {
  state: EngineState = 'ready';
  readonly model: ModelDescription;
  readonly #options: ScriptedEngineOptions;
  readonly #waiting: (() => void)[] = [];
  #numRunning = 0;
  #numAdmitted = 0;

  constructor(options: ScriptedEngineOptions = {}) {
    this.#options = options;
    this.model = {
      id: 'scripted',
      created: 1_700_000_000,
      vocabSize: scriptedVocabSize,
      maxModelLength: 1024,
      supportsSuffix: false,
      hasChatTemplate: false,
      numSpecTokens: 3,
      maxSpecTokens: 4,
      ...options.model,
    };
  }

  load(): EngineLoad {
    return {
      numRunning: this.#numRunning,
      numWaiting: this.#waiting.length,
      kvCacheUsage: this.#numRunning / 16,
      prefixCacheUsage: 0,
      numWorkers: 1,
    };
  }

  generate(request: GenerationRequest, signal?: AbortSignal): AsyncIterable<GenerationEvent> {
    const { maxRunning = 4, maxQueue = 16 } = this.#options;
    if (this.state !== 'ready') throw new ForetokenError('engine_failed', 'the engine is not running');
    if (request.suffix !== undefined) {
      throw new ForetokenError(
        'suffix_not_supported',
        'suffix: the model cannot fill in the middle',
        'suffix',
      );
    }
    const script = new Script(request);
    const numNeeded = script.promptIds.length + (request.maxTokens ?? 1);
    if (numNeeded > this.model.maxModelLength) {
      const numbers = `${script.promptIds.length} prompt tokens + ${request.maxTokens ?? 1} > ${this.model.maxModelLength}`;
      throw new ForetokenError(
        'context_length_exceeded',
        `the context is too short: ${numbers}`,
        'max_tokens',
      );
    }
    if (this.#numAdmitted >= maxRunning + maxQueue)
      throw new ForetokenError('queue_full', 'the queue is full');
    this.#numAdmitted += 1;
    const admission = { isBegun: false };
    signal?.addEventListener('abort', () => {
      // An iteration that was never begun runs no `finally`.
      if (!admission.isBegun) this.#numAdmitted -= 1;
    });
    return this.#events(request, script, admission, signal ?? new AbortController().signal);
  }

  async close(): Promise<void> {
    this.state = 'closed';
  }

  async *#events(
    request: GenerationRequest,
    script: Script,
    admission: { isBegun: boolean },
    signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent> {
    admission.isBegun = true;
    const numDraftTokens = request.speculation?.maxDraftTokens ?? this.model.numSpecTokens;
    const run = new ScriptedRun(request, script, new SpecDecodeStats(numDraftTokens));
    const aborted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    let outcome: FinishReason | 'abort' | 'error' = 'abort';
    if (!(await this.#turn(aborted))) {
      this.#numAdmitted -= 1;
      this.#options.observer?.requestFinished(outcome, run.report());
      return;
    }
    try {
      if (request.echo) {
        const tokens = script.promptIds.map((tokenId) => generatedToken(tokenId, 'target', request));
        const text =
          typeof request.prompt === 'string' ? request.prompt : tokens.map((token) => token.text).join('');
        yield { type: 'prompt-evaluated', text, tokens };
      }
      while (run.finishReason === null) {
        await Promise.race([this.#options.hold, aborted]);
        await Promise.race([sleep(this.#options.roundMs ?? 0), aborted]);
        if (signal.aborted) return;
        if (this.state !== 'ready') throw new ForetokenError('engine_failed', 'the engine was closed');
        if (run.numRounds === this.#options.failingRound) throw new Error('scripted failure');
        const { event, round } = run.nextRound();
        this.#options.observer?.roundFinished(round);
        yield event;
      }
      outcome = run.finishReason;
      yield { type: 'generation-finished', reason: outcome, report: run.report() };
    } catch (error) {
      outcome = 'error';
      throw error;
    } finally {
      this.#numRunning -= 1;
      this.#numAdmitted -= 1;
      this.#waiting.shift()?.();
      this.#options.observer?.requestFinished(outcome, run.report());
    }
  }

  /** False: aborted while it waited. */
  async #turn(aborted: Promise<void>): Promise<boolean> {
    if (this.#numRunning >= (this.#options.maxRunning ?? 4)) {
      let wake = (): void => {};
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      this.#waiting.push(wake);
      await Promise.race([woken, aborted]);
      const index = this.#waiting.indexOf(wake);
      if (index >= 0) {
        this.#waiting.splice(index, 1);
        return false;
      }
    }
    this.#numRunning += 1;
    return true;
  }
}
