/**
 * One request on the main thread: turns the worker's messages into events, adds up the report, and outlives the worker
 * where that can be done unseen. Knows nothing of threads or of other requests.
 */
import { ForetokenError } from '../errors.ts';
import type { Baseline, GenerationReport } from '../metrics/generation-report.ts';
import type { TextTokenizer } from '../tokenizer/tokenizer.ts';
import { Attempt, type DecodedTokens } from './attempt.ts';
import { EventQueue } from './event-queue.ts';
import { generateJob, replayJob, sharesPrompt } from './jobs.ts';
import type { GenerationEvent, GenerationRequest, SpeculationSettings } from './generation.ts';
import type { EngineObserver, FinishReason, RequestOutcome } from '../metrics/engine-observer.ts';
import type { EncodedPrompt } from './prompt.ts';
import type { MainMessage, WorkerMessage } from './protocol.ts';
import { RequestMeter } from './request-meter.ts';

/** Enough for one to be worth its writing. */
const MAX_JOINED_TOKENS = 64;

/** Rounds whose messages came together are one event. */
function joinTokens(earlier: GenerationEvent, later: GenerationEvent): GenerationEvent | null {
  if (earlier.type !== 'tokens-generated' || later.type !== 'tokens-generated') return null;
  if (earlier.tokens.length + later.tokens.length > MAX_JOINED_TOKENS) return null;
  return {
    type: 'tokens-generated',
    text: earlier.text + later.text,
    tokens: [...earlier.tokens, ...later.tokens],
  };
}

/** A worker message that concerns one request. */
export type RequestMessage = Extract<WorkerMessage, { readonly id: number }>;

export interface RunDependencies {
  readonly tokenizer: TextTokenizer;
  readonly observer: EngineObserver;
  readonly send: (message: MainMessage) => void;
  /** Called once, when nothing more is to be expected. */
  readonly done: (outcome: RequestOutcome) => void;
}

export class GenerationRun {
  readonly id: number;
  readonly events: EventQueue<GenerationEvent>;
  isDone = false;
  private readonly request: GenerationRequest;
  private readonly prompt: EncodedPrompt;
  private readonly speculation: SpeculationSettings;
  private readonly dependencies: RunDependencies;
  private readonly admittedAt = performance.now();
  private attempt: Attempt;
  private isRetried = false;
  /** Whether the reader has been given anything. */
  private hasBegun = false;
  /** Set once the text is complete and only the baseline is still being measured. */
  private finished: FinishReason | null = null;

  constructor(
    id: number,
    request: GenerationRequest,
    prompt: EncodedPrompt,
    speculation: SpeculationSettings,
    dependencies: RunDependencies,
  ) {
    this.id = id;
    this.request = request;
    this.prompt = prompt;
    this.speculation = speculation;
    this.dependencies = dependencies;
    this.attempt = this.newAttempt();
    this.events = new EventQueue(() => this.abort(), joinTokens);
  }

  get promptTokenIds(): readonly number[] {
    return this.prompt.tokenIds;
  }

  get maxTokens(): number {
    return this.prompt.maxTokens;
  }

  get sharesPrompt(): boolean {
    return sharesPrompt(this.request);
  }

  get isStarted(): boolean {
    return this.attempt.isStarted;
  }

  /** Gives the worker the job: once, and once more to the worker that comes after a dead one. */
  start(): void {
    const job = generateJob(this.request, this.prompt, this.speculation);
    this.dependencies.send({ type: 'request-add', id: this.id, job });
  }

  /** Ends the request unless it has ended; the worker stops within one round. */
  abort(): void {
    if (this.isDone) return;
    this.dependencies.send({ type: 'request-abort', id: this.id });
    this.conclude('abort', this.report(null));
    this.events.end();
  }

  fail(error: ForetokenError): void {
    if (this.isDone) return;
    this.conclude('error', this.report(null));
    this.events.fail(error);
  }

  /**
   * The worker has died. Who was in its queue waits for the next one, and who has given its reader nothing begins anew
   * there, once: the request itself may be what kills workers. The same seed gives the same text.
   */
  workerDied(error: ForetokenError): void {
    if (this.isDone) return;
    // The text is complete; that its baseline is not measured is no reason to lose it.
    if (this.finished !== null) this.finish(this.calibrated());
    else if (this.hasBegun || (this.isStarted && this.isRetried)) this.fail(error);
    else if (this.isStarted) {
      this.isRetried = true;
      this.attempt = this.newAttempt();
    }
  }

  receive(message: RequestMessage): void {
    if (this.isDone) return;
    // A round that was under way when a stop string was found still reports.
    if (this.finished !== null && message.type === 'tokens-decided') return;
    const { attempt } = this;
    switch (message.type) {
      case 'request-started':
        attempt.meter.started();
        attempt.isStarted = true;
        return;
      case 'prompt-scored':
        attempt.promptScored(message.firstIndex, message.tokens);
        return;
      case 'request-prefilled':
        attempt.meter.sinceLastOutput();
        attempt.meter.prefilled(message.prefillSeconds, message.numQueriedTokens, message.numCachedTokens);
        if (this.request.echo) this.emit(attempt.promptEvaluated(this.request.prompt));
        this.emitTokens(this.decodeFirst(message), message.finish);
        return;
      case 'tokens-decided': {
        const decoded = attempt.decode(message.tokens, message.finish);
        // What lies behind a stop string counts nowhere: plain decoding would not have come to it.
        const numKept = decoded.tokens.length;
        const numAcceptedDraftTokens = Math.min(message.round.numAcceptedDraftTokens, numKept);
        const round = { ...message.round, numAcceptedDraftTokens };
        const baselineSeconds = message.baselineSeconds * (numKept / message.tokens.length);
        attempt.meter.addRound(round, message.decodeSeconds, baselineSeconds);
        this.dependencies.observer.roundFinished({
          ...round,
          latencySeconds: attempt.meter.sinceLastOutput(),
        });
        this.emitTokens(decoded, message.finish);
        return;
      }
      case 'request-replayed':
        this.finish({
          method: 'measured',
          seconds: message.plainSeconds,
          calibratedSeconds: attempt.meter.baselineSeconds,
          identical: message.tokenIds.every((tokenId, index) => tokenId === attempt.tokenIds[index]),
        });
        return;
      case 'request-failed':
        this.fail(new ForetokenError('internal_error', message.message));
    }
  }

  private decodeFirst(
    message: Extract<RequestMessage, { readonly type: 'request-prefilled' }>,
  ): DecodedTokens {
    const { token, numReplacedTokens, finish } = message;
    if (numReplacedTokens === 0) return this.attempt.decode([token], finish);
    const { text } = this.prompt.openEnd.at(-numReplacedTokens)!;
    return this.attempt.decodeReplacement(token, numReplacedTokens, text, finish);
  }

  private newAttempt(): Attempt {
    const meter = new RequestMeter(this.speculation.maxDraftTokens, this.admittedAt);
    return new Attempt(this.dependencies.tokenizer, this.promptTokenIds, this.request.stop, meter);
  }

  private emit(event: GenerationEvent): void {
    if (this.request.isWhole === true) {
      this.attempt.heldEvents.push(event);
      return;
    }
    this.hasBegun = true;
    this.events.push(event);
  }

  private emitTokens({ text, tokens, isStopped }: DecodedTokens, workerFinish: FinishReason | null): void {
    this.emit({ type: 'tokens-generated', text, tokens });
    if (isStopped && workerFinish === null) this.dependencies.send({ type: 'request-abort', id: this.id });
    const finish = isStopped ? 'stop' : workerFinish;
    if (finish !== null) this.complete(finish);
  }

  /** The text is complete. */
  private complete(reason: FinishReason): void {
    this.finished = reason;
    const numTokens = this.attempt.tokenIds.length;
    if (!this.speculation.measureBaseline || numTokens < 2) {
      this.finish(this.calibrated());
      return;
    }
    this.dependencies.send({
      type: 'request-add',
      id: this.id,
      job: replayJob(this.request, this.prompt, numTokens),
    });
  }

  /** Null where nothing was decoded after the first token. */
  private calibrated(): Baseline | null {
    const { tokenIds, meter } = this.attempt;
    return tokenIds.length < 2 ? null : { method: 'calibrated', seconds: meter.baselineSeconds };
  }

  private finish(baseline: Baseline | null): void {
    const reason = this.finished!;
    const report = this.report(baseline);
    this.conclude(reason, report);
    for (const event of this.attempt.heldEvents) this.events.push(event);
    this.events.push({ type: 'generation-finished', reason, report });
    this.events.end();
  }

  private conclude(outcome: RequestOutcome, report: GenerationReport): void {
    this.isDone = true;
    this.dependencies.observer.requestFinished(outcome, report);
    this.dependencies.done(outcome);
  }

  private report(baseline: Baseline | null): GenerationReport {
    const { meter, tokenIds } = this.attempt;
    return meter.report(this.promptTokenIds.length, tokenIds.length, baseline);
  }
}
