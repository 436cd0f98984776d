/**
 * One request on the main thread: turns the worker's messages into events and adds up the report. Knows nothing of
 * threads or of other requests.
 */
import { ForetokenError } from '../errors.ts';
import type { Baseline, GenerationReport } from '../metrics/generation-report.ts';
import type { TextTokenizer } from '../tokenizer/tokenizer.ts';
import { EventQueue } from './event-queue.ts';
import type {
  GeneratedToken,
  GenerationEvent,
  GenerationRequest,
  SpeculationSettings,
} from './generation.ts';
import type { EngineObserver, FinishReason, RequestOutcome } from '../metrics/engine-observer.ts';
import { OutputText } from './output.ts';
import type { EncodedPrompt } from './prompt.ts';
import type { DecidedToken, MainMessage, WorkerMessage } from './protocol.ts';
import { RequestMeter } from './request-meter.ts';

/** A worker message that concerns one request. */
export type RequestMessage = Extract<WorkerMessage, { readonly id: number }>;

interface DecodedTokens {
  readonly text: string;
  readonly tokens: readonly GeneratedToken[];
  /** Whether a stop string was completed. */
  readonly isStopped: boolean;
}

export interface RunDependencies {
  readonly tokenizer: TextTokenizer;
  readonly observer: EngineObserver;
  readonly send: (message: MainMessage) => void;
  /** Called once, when nothing more is to be expected. */
  readonly done: () => void;
}

export class GenerationRun {
  readonly id: number;
  readonly events: EventQueue<GenerationEvent>;
  readonly promptTokenIds: readonly number[];
  private readonly maxTokens: number;
  isStarted = false;
  isDone = false;
  private readonly request: GenerationRequest;
  private readonly speculation: SpeculationSettings;
  private readonly dependencies: RunDependencies;
  private readonly output: OutputText;
  private readonly meter: RequestMeter;
  private readonly tokenIds: number[] = [];
  private readonly promptTokens: GeneratedToken[] = [];
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
    this.promptTokenIds = prompt.tokenIds;
    this.maxTokens = prompt.maxTokens;
    this.speculation = speculation;
    this.dependencies = dependencies;
    this.output = new OutputText(dependencies.tokenizer, request.stop);
    this.meter = new RequestMeter(speculation.maxDraftTokens);
    this.events = new EventQueue(() => this.abort());
  }

  start(): void {
    const { request, speculation, promptTokenIds } = this;
    this.dependencies.send({
      type: 'request-add',
      id: this.id,
      job: {
        kind: 'generate',
        promptTokenIds,
        maxTokens: this.maxTokens,
        sampling: request.sampling,
        ignoreEos: request.ignoreEos,
        numTopLogprobs: request.logprobs ?? null,
        promptLogprobs: request.echo && request.logprobs !== undefined,
        maxDraftTokens: speculation.maxDraftTokens,
        adaptive: speculation.adaptive,
        cachePrompt: request.cachePrompt ?? true,
      },
    });
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

  receive(message: RequestMessage): void {
    if (this.isDone) return;
    // A round that was under way when a stop string was found still reports.
    if (this.finished !== null && message.type === 'tokens-decided') return;
    switch (message.type) {
      case 'request-started':
        this.meter.started();
        this.isStarted = true;
        return;
      case 'prompt-scored':
        if (message.firstIndex === 1) this.promptTokens.push({ ...this.promptToken(0), logprob: null });
        for (const token of message.tokens) this.promptTokens.push(this.generatedToken(token));
        return;
      case 'request-prefilled':
        this.meter.prefilled(message.prefillSeconds, message.numQueriedTokens, message.numCachedTokens);
        if (this.request.echo) this.emitPrompt();
        this.emitTokens(this.decode([message.token], message.finish), message.finish);
        return;
      case 'tokens-decided': {
        const decoded = this.decode(message.tokens, message.finish);
        // What lies behind a stop string counts nowhere: plain decoding would not have come to it.
        const numKept = decoded.tokens.length;
        const numAcceptedDraftTokens = Math.min(message.round.numAcceptedDraftTokens, numKept);
        const round = { ...message.round, numAcceptedDraftTokens };
        const baselineSeconds = message.baselineSeconds * (numKept / message.tokens.length);
        this.meter.addRound(round, message.decodeSeconds, baselineSeconds);
        this.dependencies.observer.roundFinished(round);
        this.emitTokens(decoded, message.finish);
        return;
      }
      case 'request-replayed':
        this.finish({
          method: 'measured',
          seconds: message.plainSeconds,
          calibratedSeconds: this.meter.baselineSeconds,
          identical: message.tokenIds.every((tokenId, index) => tokenId === this.tokenIds[index]),
        });
        return;
      case 'request-failed':
        this.fail(new ForetokenError('internal_error', message.message));
    }
  }

  private emitPrompt(): void {
    const { prompt } = this.request;
    const text = typeof prompt === 'string' ? prompt : this.dependencies.tokenizer.decode(prompt);
    const tokens =
      this.promptTokens.length > 0
        ? this.promptTokens
        : this.promptTokenIds.map((_, index) => this.promptToken(index));
    this.events.push({ type: 'prompt-evaluated', text, tokens });
  }

  /** Tokens behind a completed stop string are dropped: they are no part of the answer. */
  private decode(decided: readonly DecidedToken[], workerFinish: FinishReason | null): DecodedTokens {
    const tokens: GeneratedToken[] = [];
    let text = '';
    let isStopped = false;
    for (const token of decided) {
      const step = this.output.push(token.tokenId);
      this.tokenIds.push(token.tokenId);
      tokens.push(this.generatedToken(token));
      text += step.text;
      isStopped = step.isStopped;
      if (isStopped) break;
    }
    if (workerFinish !== null && !isStopped) {
      const rest = this.output.flush();
      text += rest.text;
      isStopped = rest.isStopped;
    }
    return { text, tokens, isStopped };
  }

  private emitTokens({ text, tokens, isStopped }: DecodedTokens, workerFinish: FinishReason | null): void {
    this.events.push({ type: 'tokens-generated', text, tokens });
    if (isStopped && workerFinish === null) this.dependencies.send({ type: 'request-abort', id: this.id });
    const finish = isStopped ? 'stop' : workerFinish;
    if (finish !== null) this.complete(finish);
  }

  /** The text is complete. */
  private complete(reason: FinishReason): void {
    this.finished = reason;
    if (!this.speculation.measureBaseline || this.tokenIds.length < 2) {
      this.finish(
        this.tokenIds.length < 2 ? null : { method: 'calibrated', seconds: this.meter.baselineSeconds },
      );
      return;
    }
    this.dependencies.send({
      type: 'request-add',
      id: this.id,
      job: {
        kind: 'replay',
        promptTokenIds: this.promptTokenIds,
        numTokens: this.tokenIds.length,
        sampling: this.request.sampling,
      },
    });
  }

  private finish(baseline: Baseline | null): void {
    const reason = this.finished!;
    const report = this.report(baseline);
    this.conclude(reason, report);
    this.events.push({ type: 'generation-finished', reason, report });
    this.events.end();
  }

  private conclude(outcome: RequestOutcome, report: GenerationReport): void {
    this.isDone = true;
    this.dependencies.observer.requestFinished(outcome, report);
    this.dependencies.done();
  }

  private report(baseline: Baseline | null): GenerationReport {
    return this.meter.report(this.promptTokenIds.length, this.tokenIds.length, baseline);
  }

  private promptToken(index: number): GeneratedToken {
    const tokenId = this.promptTokenIds[index]!;
    return { tokenId, text: this.dependencies.tokenizer.tokenText(tokenId), source: 'target' };
  }

  private generatedToken(token: DecidedToken): GeneratedToken {
    const { tokenizer } = this.dependencies;
    const { tokenId, isDraft, logprob, top } = token;
    const base = {
      tokenId,
      text: tokenizer.tokenText(tokenId),
      source: isDraft ? 'draft' : 'target',
    } as const;
    if (logprob === undefined || top === undefined) return base;
    const topLogprobs = top.map((ranked) => ({ ...ranked, text: tokenizer.tokenText(ranked.tokenId) }));
    return { ...base, logprob, topLogprobs };
  }
}
