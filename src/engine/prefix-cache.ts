/** Sequences that have ended, kept for prompts that begin alike. Knows nothing of budgets, or of whose they were. */
import { covers, numReusablePositions, type SequenceKv } from './sequence-kv.ts';

export interface FoundPrefix {
  readonly kv: SequenceKv;
  /** At least 1. */
  readonly numPositions: number;
}

export class PrefixCache {
  private kept: SequenceKv[] = []; // least recently used first

  get numBytes(): number {
    return this.kept.reduce((sum, { numBytes }) => sum + numBytes, 0);
  }

  /** From the most to the least recently used. */
  get sequences(): readonly SequenceKv[] {
    return this.kept.toReversed();
  }

  has(kv: SequenceKv): boolean {
    return this.kept.includes(kv);
  }

  /** Counts as most recently used. */
  touch(kv: SequenceKv): void {
    this.remove(kv);
    this.kept.push(kv);
  }

  remove(kv: SequenceKv): void {
    this.kept = this.kept.filter((other) => other !== kv);
  }

  /** Keeps `kv` unless another covers it; returns whatever is kept no longer. */
  insert(kv: SequenceKv): readonly SequenceKv[] {
    const covering = this.kept.find((other) => covers(other, kv));
    if (covering !== undefined) {
      this.touch(covering);
      return [kv];
    }
    const covered = this.kept.filter((other) => covers(kv, other));
    this.kept = [...this.kept.filter((other) => !covered.includes(other)), kv];
    return covered;
  }

  /** The least recently used, which is kept no longer. */
  evict(): SequenceKv | undefined {
    return this.kept.shift();
  }
}

/** The sequence that most of a prompt is in, the first of them on a tie; null where there is nothing to take over. */
export function longestPrefix(
  sequences: Iterable<SequenceKv>,
  promptTokenIds: readonly number[],
  isDrafting: boolean,
): FoundPrefix | null {
  let longest: FoundPrefix | null = null;
  for (const kv of sequences) {
    const numPositions = numReusablePositions(kv, promptTokenIds, isDrafting);
    if (numPositions > (longest?.numPositions ?? 0)) longest = { kv, numPositions };
  }
  return longest;
}
