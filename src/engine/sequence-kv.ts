/** One sequence's KV and what of it another prompt can begin with. Knows nothing of budgets, or of who runs. */
import type { KvCache } from '../model/target-model.ts';

/**
 * Invariant: position i of the target's cache is of tokenIds[i], after the tokens before it; position i of the MTP
 * module's is of the state there and of tokenIds[i + 1].
 */
export interface SequenceKv {
  readonly target: KvCache;
  /** Null where nothing was to be drafted. May hold fewer positions than the target's. */
  readonly mtp: KvCache | null;
  /** The prompt, then every decided token: more than the target's cache holds, by at least the latest one. */
  readonly tokenIds: number[];
  /** Bytes of both caches. */
  readonly numBytes: number;
  /** Whether other sequences may begin with it. */
  readonly isShared: boolean;
}

export function commonPrefixLength(one: readonly number[], other: readonly number[]): number {
  const limit = Math.min(one.length, other.length);
  let length = 0;
  while (length < limit && one[length] === other[length]) length += 1;
  return length;
}

/**
 * Positions of `kv` that a prompt can take over. The last token that both have in common is computed anew: its
 * forward gives the logits after a whole prompt, or the state that the MTP module combines with the first token that
 * differs. A token by itself is computed at a width that agrees (ExactWidths), so the text stays bit-identical.
 */
export function numReusablePositions(
  kv: SequenceKv,
  promptTokenIds: readonly number[],
  isDrafting: boolean,
): number {
  const numHeld = isDrafting ? Math.min(kv.target.length, kv.mtp?.length ?? 0) : kv.target.length;
  return Math.max(0, Math.min(numHeld, commonPrefixLength(kv.tokenIds, promptTokenIds) - 1));
}

/** Whether every prompt finds as much in `one` as in `other`, a token aside. */
export function covers(one: SequenceKv, other: SequenceKv): boolean {
  return (
    one.target.length >= other.target.length &&
    (one.mtp?.length ?? 0) >= (other.mtp?.length ?? 0) &&
    commonPrefixLength(one.tokenIds, other.tokenIds) >= other.target.length
  );
}
