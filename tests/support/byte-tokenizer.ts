import { TextTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { Vocabulary } from '../../src/tokenizer/vocabulary.ts';

/** Tokens are the bytes of UTF-8, so that every character beyond ASCII is spread over several. */
export class ByteTokenizer extends TextTokenizer {
  constructor() {
    super(undefined, new Vocabulary(new Map()));
  }

  override encode(text: string): number[] {
    return [...new TextEncoder().encode(text)];
  }

  override decode(tokenIds: readonly number[]): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(tokenIds));
  }

  override tokenText(tokenId: number): string {
    return this.decode([tokenId]);
  }
}
