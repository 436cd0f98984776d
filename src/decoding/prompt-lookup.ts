/**
 * Finds what followed when the text went as it goes now: drafts that cost nothing, where text repeats itself (prompt
 * look-up decoding, A. Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding) or comes again, as what an
 * earlier request was answered does (SuffixDecoding, arXiv 2411.04975). Knows nothing of models.
 */

/** Tokens that must be the same before anything is proposed. */
const MIN_MATCH = 3;
/** Longer matches are not told apart. */
export const MAX_MATCH = 24;
/** Latest places that are compared. */
const MAX_PLACES = 16;

export interface LookedUp {
  readonly tokenIds: readonly number[];
  /** Latest tokens of the text that are the same as those before `tokenIds`, MIN_MATCH to MAX_MATCH; 0 if none. */
  readonly matchLength: number;
  /** Found in an earlier text, not in this one. */
  readonly isEarlier: boolean;
}

export const NOTHING_FOUND: LookedUp = { tokenIds: [], matchLength: 0, isEarlier: false };

/** One sequence, prompt and output, and what is known of earlier ones that began alike. */
export class PromptLookup {
  private readonly text: Searched;
  private readonly earlier: Searched;

  constructor(vocabSize: number, earlierText: readonly number[] = []) {
    this.text = new Searched(vocabSize);
    this.earlier = new Searched(vocabSize);
    this.earlier.push(earlierText);
  }

  push(tokenIds: readonly number[]): void {
    this.text.push(tokenIds);
  }

  /**
   * At most `maxTokens` tokens that followed the longest match, the latest of equally long ones; in the text itself a
   * match goes on into itself.
   */
  find(maxTokens: number): LookedUp {
    const { tokenIds } = this.text;
    const own = this.text.longestMatch(tokenIds);
    const earlier = this.earlier.longestMatch(tokenIds);
    if (earlier !== null && earlier.matchLength >= (own?.matchLength ?? 0)) {
      const { follower, matchLength } = earlier;
      const followed = this.earlier.tokenIds.slice(follower, follower + maxTokens);
      return { tokenIds: followed, matchLength, isEarlier: true };
    }
    if (own === null) return NOTHING_FOUND;
    const { follower, matchLength } = own;
    const period = tokenIds.length - follower;
    return {
      tokenIds: Array.from({ length: maxTokens }, (_, index) => tokenIds[follower + (index % period)]!),
      matchLength,
      isEarlier: false,
    };
  }
}

interface Match {
  /** Position behind the match. */
  readonly follower: number;
  readonly matchLength: number;
}

/** A text, and where each MIN_MATCH tokens of it were followed by others. */
class Searched {
  readonly tokenIds: number[] = [];
  private readonly vocabSize: number;
  private readonly followers = new Map<number, number[]>();

  constructor(vocabSize: number) {
    this.vocabSize = vocabSize;
  }

  push(tokenIds: readonly number[]): void {
    for (const tokenId of tokenIds) {
      const key = this.latestKey(this.tokenIds);
      if (key !== null) {
        const places = this.followers.get(key);
        if (places === undefined) this.followers.set(key, [this.tokenIds.length]);
        else places.push(this.tokenIds.length);
      }
      this.tokenIds.push(tokenId);
    }
  }

  /** The place that ends most like `text`, the latest of them; null where less than MIN_MATCH tokens are the same. */
  longestMatch(text: readonly number[]): Match | null {
    const key = this.latestKey(text);
    const places = key === null ? undefined : this.followers.get(key);
    if (places === undefined) return null;
    let longest: Match | null = null;
    for (const follower of places.slice(-MAX_PLACES).toReversed()) {
      const matchLength = this.matchLength(text, follower);
      if (matchLength > (longest?.matchLength ?? 0)) longest = { follower, matchLength };
    }
    return longest;
  }

  private matchLength(text: readonly number[], follower: number): number {
    const limit = Math.min(MAX_MATCH, follower, text.length);
    let length = MIN_MATCH;
    while (length < limit && this.tokenIds[follower - 1 - length] === text[text.length - 1 - length])
      length += 1;
    return length;
  }

  /** Of the last MIN_MATCH tokens, without collisions for vocabularies up to 200,000; null if there are not so many. */
  private latestKey(text: readonly number[]): number | null {
    const { length } = text;
    if (length < MIN_MATCH) return null;
    return (text[length - 3]! * this.vocabSize + text[length - 2]!) * this.vocabSize + text[length - 1]!;
  }
}
