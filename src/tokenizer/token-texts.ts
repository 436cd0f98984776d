/** What every token's text is amid others, and which tokens begin with a text. Knows nothing of models or requests. */
import type { TokenDecoder } from './tokenizer.ts';

const REPLACEMENT_CHARACTER = '\ufffd';

export class TokenTexts {
  private readonly texts = new Map<number, string>();
  /** Ids in the order of their texts. */
  private readonly sorted: readonly number[];

  /** `before`: tokens of a text that no tokenizer joins to, or parts from, what follows; some leave out a first space. */
  constructor(decoder: TokenDecoder, tokenIds: Iterable<number>, before: readonly number[]) {
    const start = decoder.decode(before).length;
    for (const tokenId of tokenIds) {
      const text = decoder.decode([...before, tokenId]).slice(start);
      if (text !== '' && !text.includes(REPLACEMENT_CHARACTER)) this.texts.set(tokenId, text);
    }
    this.sorted = [...this.texts]
      .toSorted(([, one], [, other]) => (one < other ? -1 : Number(one > other)))
      .map(([tokenId]) => tokenId);
  }

  /** Null of special tokens, and of those that hold but a part of a character. */
  textOf(tokenId: number): string | null {
    return this.texts.get(tokenId) ?? null;
  }

  /** Tokens that begin with `text` and go on. */
  extensionsOf(text: string): number[] {
    let [low, high] = [0, this.sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.texts.get(this.sorted[middle]!)! < text) low = middle + 1;
      else high = middle;
    }
    let end = low;
    while (end < this.sorted.length && this.texts.get(this.sorted[end]!)!.startsWith(text)) end += 1;
    return this.sorted.slice(low, end).filter((tokenId) => this.texts.get(tokenId) !== text);
  }
}
