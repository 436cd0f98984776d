/** One sequence's KV and what of it another prompt can begin with. Knows nothing of budgets, or of who runs. */
import { MAX_MATCH } from '../decoding/prompt-lookup.ts';
import type { KvCache } from '../model/target-model.ts';

/** Of what earlier sequences went on with, a sequence keeps the latest so many tokens. */
export const MAX_EARLIER_TOKENS = 1024;
/** Share of a prompt that another sequence must begin with to be an earlier one. */
const MIN_COMMON_SHARE = 0.5;

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
  /** What earlier sequences that began like this one went on with, one behind the other, the latest last. */
  readonly earlierText: readonly number[];
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

/**
 * `earlierText` of a prompt that begins like `kv`: from a match's length before they part, so that it is found from there
 * on. What `kv` knew of others is passed on, as a request that is cancelled and sent again has hardly a text of its own.
 */
export function earlierTextFor(kv: SequenceKv, promptTokenIds: readonly number[]): readonly number[] {
  const numCommon = commonPrefixLength(kv.tokenIds, promptTokenIds);
  if (numCommon < MIN_COMMON_SHARE * promptTokenIds.length) return [];
  const goneOn = kv.tokenIds.slice(Math.max(0, numCommon - MAX_MATCH));
  return [...kv.earlierText, ...goneOn].slice(-MAX_EARLIER_TOKENS);
}

/** Whether every prompt finds as much in `one` as in `other`, a token aside. */
export function covers(one: SequenceKv, other: SequenceKv): boolean {
  return (
    one.target.length >= other.target.length &&
    (one.mtp?.length ?? 0) >= (other.mtp?.length ?? 0) &&
    commonPrefixLength(one.tokenIds, other.tokenIds) >= other.target.length
  );
}
