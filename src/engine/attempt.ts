/**
 * What one worker has brought of a request so far: tokens, their text, the prompt's scores, times and counters. Is lost
 * with the worker. Knows nothing of who reads it.
 */
import type { FinishReason } from '../metrics/engine-observer.ts';
import type { TextTokenizer } from '../tokenizer/tokenizer.ts';
import type { GeneratedToken, GenerationEvent, GenerationRequest } from './generation.ts';
import { OutputText } from './output.ts';
import type { DecidedToken } from './protocol.ts';
import { RequestMeter } from './request-meter.ts';

export interface DecodedTokens {
  readonly text: string;
  readonly tokens: readonly GeneratedToken[];
  /** Whether a stop string was completed. */
  readonly isStopped: boolean;
}

export class Attempt {
  /** Whether it left the queue. */
  isStarted = false;
  readonly meter: RequestMeter;
  readonly tokenIds: number[] = [];
  /** Events of a request whose reader takes them together, at its end. */
  readonly heldEvents: GenerationEvent[] = [];
  private readonly tokenizer: TextTokenizer;
  private readonly promptTokenIds: readonly number[];
  private readonly output: OutputText;
  private readonly promptTokens: GeneratedToken[] = [];
  /** Text that the next token begins with and the prompt ends with. */
  private replacedText = '';

  constructor(
    tokenizer: TextTokenizer,
    promptTokenIds: readonly number[],
    stop: readonly string[],
    meter: RequestMeter,
  ) {
    this.tokenizer = tokenizer;
    this.promptTokenIds = promptTokenIds;
    this.output = new OutputText(tokenizer, stop);
    this.meter = meter;
  }

  promptScored(firstIndex: number, tokens: readonly DecidedToken[]): void {
    if (firstIndex === 1) this.promptTokens.push({ ...this.promptToken(0), logprob: null });
    for (const token of tokens) this.promptTokens.push(this.generatedToken(token));
  }

  /** The prompt as an event, with its scores where there are any. */
  promptEvaluated(prompt: GenerationRequest['prompt']): GenerationEvent {
    const text = typeof prompt === 'string' ? prompt : this.tokenizer.decode(prompt);
    const tokens =
      this.promptTokens.length > 0
        ? this.promptTokens
        : this.promptTokenIds.map((_, index) => this.promptToken(index));
    return { type: 'prompt-evaluated', text, tokens };
  }

  /** The next token takes the place of the prompt's last ones, which have this text. */
  replacing(text: string): void {
    this.replacedText = text;
  }

  /** Tokens behind a completed stop string are dropped: they are no part of the answer. */
  decode(decided: readonly DecidedToken[], workerFinish: FinishReason | null): DecodedTokens {
    const tokens: GeneratedToken[] = [];
    let text = '';
    let isStopped = false;
    for (const token of decided) {
      const newText = this.takeNewText(token.tokenId);
      const step = this.output.push(token.tokenId, newText);
      this.tokenIds.push(token.tokenId);
      tokens.push({ ...this.generatedToken(token), ...(newText === null ? {} : { text: newText }) });
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

  /** What a token that begins in the prompt has beyond it; null of others. */
  private takeNewText(tokenId: number): string | null {
    const { replacedText } = this;
    if (replacedText === '') return null;
    this.replacedText = '';
    return this.tokenizer.texts.textOf(tokenId)!.slice(replacedText.length);
  }

  private promptToken(index: number): GeneratedToken {
    const tokenId = this.promptTokenIds[index]!;
    return { tokenId, text: this.tokenizer.tokenText(tokenId), source: 'target' };
  }

  private generatedToken(token: DecidedToken): GeneratedToken {
    const { tokenizer } = this;
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
