/**
 * Text as tokens arrive. A character whose bytes are spread over tokens appears when its last byte does (the
 * two-offset scheme of text-generation-inference and vLLM, which works for any tokenizer). Knows nothing of stops.
 */
import type { TokenDecoder } from './tokenizer.ts';

/** What bytes decode to that are no whole character. */
export const REPLACEMENT_CHARACTER = '\ufffd';
/** After so many tokens what is undecodable will stay so, but for one last character. */
const MAX_HELD_TOKENS = 8;
/** A character has at most four bytes, so an unfinished one has at most three tokens. */
const MAX_UNFINISHED_TOKENS = 3;

export class Detokenizer {
  private readonly decoder: TokenDecoder;
  /** Context that decoding the next token may depend on, then tokens whose text is not out yet. */
  private tokenIds: number[] = [];
  private numEmitted = 0;

  /** `before`: tokens whose text is out already. */
  constructor(decoder: TokenDecoder, before: readonly number[] = []) {
    this.decoder = decoder;
    this.tokenIds = [...before];
    this.numEmitted = before.length;
  }

  /** The text that became certain with this token; may be empty. */
  push(tokenId: number): string {
    this.tokenIds.push(tokenId);
    const text = this.pendingText();
    if (!text.endsWith(REPLACEMENT_CHARACTER)) return this.emit(text, this.tokenIds.length);
    return this.tokenIds.length - this.numEmitted <= MAX_HELD_TOKENS ? '' : this.emitFinished(text);
  }

  /** What is left at the end: an unfinished character as U+FFFD. */
  flush(): string {
    return this.emit(this.pendingText(), this.tokenIds.length);
  }

  /** All but the tokens of an unfinished character; between characters, the texts of both sides make up the whole. */
  private emitFinished(text: string): string {
    const { decoder, tokenIds } = this;
    for (let numTokens = MAX_UNFINISHED_TOKENS; numTokens > 0; numTokens -= 1) {
      const rest = decoder.decode(tokenIds.slice(-numTokens));
      const end = tokenIds.length - numTokens;
      if (rest !== '' && decoder.decode(tokenIds.slice(0, end)) + rest === decoder.decode(tokenIds))
        return this.emit(text.slice(0, text.length - rest.length), end);
    }
    return this.emit(text, tokenIds.length);
  }

  private pendingText(): string {
    const context = this.decoder.decode(this.tokenIds.slice(0, this.numEmitted));
    return this.decoder.decode(this.tokenIds).slice(context.length);
  }

  /** Keeps the tokens of `text`, which end before `end`, as the context of those that follow. */
  private emit(text: string, end: number): string {
    this.tokenIds = this.tokenIds.slice(this.numEmitted);
    this.numEmitted = end - this.numEmitted;
    return text;
  }
}
