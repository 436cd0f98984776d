/**
 * Text as tokens arrive. A character whose bytes are spread over tokens appears when its last byte does (the
 * two-offset scheme of text-generation-inference and vLLM, which works for any tokenizer). Knows nothing of stops.
 */
import type { TokenDecoder } from './tokenizer.ts';

const REPLACEMENT_CHARACTER = '\ufffd';
/** No character is longer: what is still undecodable after so many tokens will stay so. */
const MAX_HELD_TOKENS = 8;

export class Detokenizer {
  private readonly decoder: TokenDecoder;
  /** Context that decoding the next token may depend on, then tokens whose text is not out yet. */
  private tokenIds: number[] = [];
  private numEmitted = 0;

  constructor(decoder: TokenDecoder) {
    this.decoder = decoder;
  }

  /** The text that became certain with this token; may be empty. */
  push(tokenId: number): string {
    this.tokenIds.push(tokenId);
    const text = this.pendingText();
    const isHeld =
      text.endsWith(REPLACEMENT_CHARACTER) && this.tokenIds.length - this.numEmitted <= MAX_HELD_TOKENS;
    return isHeld ? '' : this.emit(text);
  }

  /** What is left at the end: an unfinished character as U+FFFD. */
  flush(): string {
    return this.emit(this.pendingText());
  }

  private pendingText(): string {
    const context = this.decoder.decode(this.tokenIds.slice(0, this.numEmitted));
    return this.decoder.decode(this.tokenIds).slice(context.length);
  }

  private emit(text: string): string {
    this.tokenIds = this.tokenIds.slice(this.numEmitted);
    this.numEmitted = this.tokenIds.length;
    return text;
  }
}
