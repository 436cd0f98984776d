/**
 * What one worker has brought of a request so far: tokens, their text, the prompt's scores, times and counters. Is lost
 * with the worker. Knows nothing of who reads it.
 */
import type { FinishReason } from '../metrics/engine-observer.ts';
import { REPLACEMENT_CHARACTER } from '../tokenizer/detokenizer.ts';
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
  private readonly stop: readonly string[];
  private output: OutputText;
  private readonly promptTokens: GeneratedToken[] = [];

  constructor(
    tokenizer: TextTokenizer,
    promptTokenIds: readonly number[],
    stop: readonly string[],
    meter: RequestMeter,
  ) {
    this.tokenizer = tokenizer;
    this.promptTokenIds = promptTokenIds;
    this.stop = stop;
    this.output = new OutputText(tokenizer, stop, this.lastOfPrompt(0));
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

  /** The first token, which takes the place of the prompt's last ones: they have the text that it begins with. */
  decodeReplacement(
    token: DecidedToken,
    numReplaced: number,
    replacedText: string,
    workerFinish: FinishReason | null,
  ): DecodedTokens {
    const { tokenizer } = this;
    const before = this.lastOfPrompt(numReplaced);
    this.output = new OutputText(tokenizer, this.stop, before, replacedText);
    const decoded = this.decode([token], workerFinish);
    const text = tokenizer.textBehind(before, [token.tokenId]).slice(replacedText.length);
    return { ...decoded, tokens: [{ ...decoded.tokens[0]!, text }] };
  }

  /** Tokens behind a completed stop string are dropped: they are no part of the answer. */
  decode(decided: readonly DecidedToken[], workerFinish: FinishReason | null): DecodedTokens {
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

  /** Its last token before so many, none where that ends within a character. */
  private lastOfPrompt(numReplaced: number): readonly number[] {
    const last = this.promptTokenIds.slice(0, this.promptTokenIds.length - numReplaced).slice(-1);
    return this.tokenizer.decode(last).includes(REPLACEMENT_CHARACTER) ? [] : last;
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
