/**
 * How much KV memory there is and what a sequence takes of it. Numbers only, so that the main thread refuses what can
 * never fit by the same sums that the worker admits by.
 */
import { ForetokenError } from '../errors.ts';
import { kvCapacity, kvPositionBytes } from '../model/kv-capacity.ts';
import type { ModelManifest } from '../model/manifest.ts';

const BYTES_PER_MIB = 1024 * 1024;
/** What is chosen for small models, whose prefixes are cheap to keep. */
const MIN_DEFAULT_BYTES = 256 * BYTES_PER_MIB;

export interface KvMemory {
  /** For the sequences that run and the prefixes that are kept, together. */
  readonly budgetBytes: number;
  /** The context window, in tokens. */
  readonly maxPositions: number;
  /** Bytes of one position in the target's cache. */
  readonly targetPositionBytes: number;
  /** Bytes of one position in the MTP module's cache; 0 for a model without one. */
  readonly mtpPositionBytes: number;
}

/**
 * Of each of `numWorkers`, which share `budgetMib`; 0 chooses: together room for `maxNumSeqs` sequences of the whole
 * context window, at least 256 MiB. Throws ForetokenError `invalid_setting` where not even the shortest sequence would fit.
 */
export function kvMemoryOf(
  manifest: ModelManifest,
  budgetMib: number,
  maxNumSeqs: number,
  numWorkers = 1,
): KvMemory {
  const sizes = sizesOf(manifest);
  const budgetBytes = Math.floor(totalBytes(sizes, budgetMib, maxNumSeqs) / numWorkers);
  const leastBytes = sequenceBytes(sizes, 1, true);
  if (budgetBytes < leastBytes) {
    throw new ForetokenError(
      'invalid_setting',
      `--kv-cache-mib: expected at least ${mib(leastBytes * numWorkers)}, the shortest sequence of '${manifest.id}' in each worker, got ${budgetMib}`,
      '--kv-cache-mib',
    );
  }
  return { ...sizes, budgetBytes };
}

/** At most `mostWorkers`, each with room for a whole context window; one where there is not even that. */
export function workersWithRoom(manifest: ModelManifest, budgetMib: number, mostWorkers: number): number {
  const sizes = sizesOf(manifest);
  const contextBytes = sequenceBytes(sizes, sizes.maxPositions, true);
  const numWithRoom = Math.floor(totalBytes(sizes, budgetMib, mostWorkers) / contextBytes);
  return Math.max(1, Math.min(mostWorkers, numWithRoom));
}

type Sizes = Omit<KvMemory, 'budgetBytes'>;

function sizesOf({ contextLength, target, mtp }: ModelManifest): Sizes {
  return {
    maxPositions: contextLength,
    targetPositionBytes: kvPositionBytes(target),
    mtpPositionBytes: mtp === null ? 0 : kvPositionBytes(mtp),
  };
}

function totalBytes(sizes: Sizes, budgetMib: number, maxNumSeqs: number): number {
  if (budgetMib > 0) return budgetMib * BYTES_PER_MIB;
  return Math.max(MIN_DEFAULT_BYTES, maxNumSeqs * sequenceBytes(sizes, sizes.maxPositions, true));
}

/** Bytes of the caches of a sequence of at most `numPositions` tokens, the MTP module's among them if it drafts. */
export function sequenceBytes(memory: Sizes, numPositions: number, isDrafting: boolean): number {
  const { maxPositions, targetPositionBytes, mtpPositionBytes } = memory;
  const capacity = kvCapacity(numPositions, maxPositions);
  return capacity * (targetPositionBytes + (isDrafting ? mtpPositionBytes : 0));
}

/** Tokens of the longest sequence that fits both the context window and, with nothing beside it, the budget. */
export function maxSequencePositions(memory: KvMemory, isDrafting: boolean): number {
  const { maxPositions, budgetBytes } = memory;
  let numPositions = 0;
  while (numPositions < maxPositions && sequenceBytes(memory, numPositions + 1, isDrafting) <= budgetBytes)
    numPositions = kvCapacity(numPositions + 1, maxPositions);
  return numPositions;
}

/**
 * Throws ForetokenError `kv_cache_exceeded` for a request that could not even run alone. Drafts need no room of their
 * own: no round drafts beyond the completion's last token.
 */
export function assertFits(
  memory: KvMemory,
  prompt: { readonly tokenIds: readonly number[]; readonly maxTokens: number },
  isDrafting: boolean,
): void {
  const { tokenIds, maxTokens } = prompt;
  const numBytes = sequenceBytes(memory, tokenIds.length + maxTokens, isDrafting);
  if (numBytes <= memory.budgetBytes) return;
  const numFitting = maxSequencePositions(memory, isDrafting);
  throw new ForetokenError(
    'kv_cache_exceeded',
    `This request needs ${mib(numBytes)} of KV cache for ${tokenIds.length + maxTokens} tokens (${tokenIds.length} in ` +
      `the prompt, ${maxTokens} in the completion). However, the server has ${mib(memory.budgetBytes)}, enough for ` +
      `${numFitting} tokens.`,
    tokenIds.length >= numFitting ? 'prompt' : 'max_tokens',
  );
}

function mib(numBytes: number): string {
  return `${Number((numBytes / BYTES_PER_MIB).toFixed(2))} MiB`;
}
