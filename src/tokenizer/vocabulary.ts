/** Which tokens begin as some others do together. Knows nothing of models or requests. */

export class Vocabulary {
  /** As the tokenizer writes them, in which a token's beginning is that of its text. */
  private readonly spellings = new Map<number, string>();
  /** Ids in the order of their spellings. */
  private readonly sorted: readonly number[];

  /** By spelling; special tokens left out. */
  constructor(tokenIds: ReadonlyMap<string, number>) {
    for (const [spelling, tokenId] of tokenIds) this.spellings.set(tokenId, spelling);
    this.sorted = [...tokenIds.keys()].toSorted().map((spelling) => tokenIds.get(spelling)!);
  }

  /** Tokens that begin with all of these, one behind the other, and go on; null where one of these is special. */
  extensionsOf(tokenIds: readonly number[]): readonly number[] | null {
    const { sorted, spellings } = this;
    const spelt = tokenIds.map((tokenId) => spellings.get(tokenId));
    if (spelt.includes(undefined)) return null;
    const beginning = spelt.join('');
    const spellingAt = (index: number): string => spellings.get(sorted[index]!)!;
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (spellingAt(middle) < beginning) low = middle + 1;
      else high = middle;
    }
    let end = low;
    while (end < sorted.length && spellingAt(end).startsWith(beginning)) end += 1;
    return sorted.slice(low < end && spellingAt(low) === beginning ? low + 1 : low, end);
  }
}
