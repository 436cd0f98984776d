/**
 * Finds what followed when the text went as it goes now: drafts that cost nothing, where text repeats itself (prompt
 * look-up decoding, A. Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding). Knows nothing of models.
 */

/** Tokens that must be the same before anything is proposed. */
const MIN_MATCH = 3;
/** Longer matches are not told apart. */
export const MAX_MATCH = 24;

export interface LookedUp {
  readonly tokenIds: readonly number[];
  /** Latest tokens of the text that are the same as those before `tokenIds`, MIN_MATCH to MAX_MATCH; 0 if none. */
  readonly matchLength: number;
}

export const NOTHING_FOUND: LookedUp = { tokenIds: [], matchLength: 0 };

/** One sequence, prompt and output. */
export class PromptLookup {
  private readonly vocabSize: number;
  private readonly tokenIds: number[] = [];
  /** By the last MIN_MATCH tokens before it: the latest position that followed them. */
  private readonly followers = new Map<number, number>();

  constructor(vocabSize: number) {
    this.vocabSize = vocabSize;
  }

  push(tokenIds: readonly number[]): void {
    for (const tokenId of tokenIds) {
      const key = this.latestKey();
      if (key !== null) this.followers.set(key, this.tokenIds.length);
      this.tokenIds.push(tokenId);
    }
  }

  /** At most `maxTokens` tokens that followed the latest place that ends as the text does; a match goes on into itself. */
  find(maxTokens: number): LookedUp {
    const { tokenIds } = this;
    const key = this.latestKey();
    const follower = key === null ? undefined : this.followers.get(key);
    if (follower === undefined) return NOTHING_FOUND;
    let matchLength = MIN_MATCH;
    while (
      matchLength < Math.min(MAX_MATCH, follower) &&
      tokenIds[follower - 1 - matchLength] === tokenIds[tokenIds.length - 1 - matchLength]
    )
      matchLength += 1;
    const period = tokenIds.length - follower;
    return {
      tokenIds: Array.from({ length: maxTokens }, (_, index) => tokenIds[follower + (index % period)]!),
      matchLength,
    };
  }

  /** Of the last MIN_MATCH tokens, without collisions for vocabularies up to 200,000; null if there are not so many. */
  private latestKey(): number | null {
    const { tokenIds, vocabSize } = this;
    const { length } = tokenIds;
    if (length < MIN_MATCH) return null;
    return (tokenIds[length - 3]! * vocabSize + tokenIds[length - 2]!) * vocabSize + tokenIds[length - 1]!;
  }
}
