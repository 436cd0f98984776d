/**
 * The KV memory of all sequences, within one budget: those that run, and those that have ended and are kept for their
 * prefixes until the room is needed. Knows nothing of turns.
 */
import { kvCapacity } from '../model/kv-capacity.ts';
import type { KvCachePool } from '../model/target-model.ts';
import { sequenceBytes, type KvMemory } from './kv-memory.ts';
import { longestPrefix, PrefixCache, type FoundPrefix } from './prefix-cache.ts';
import { commonPrefixLength, earlierTextFor, type SequenceKv } from './sequence-kv.ts';

/** A kept sequence is moved, not copied, into one that goes on with at least this share of it. */
const MIN_MOVED_SHARE = 0.75;

export interface KvRequest {
  readonly promptTokenIds: readonly number[];
  /** The last of them that may yet be others. */
  readonly numOpenTokens: number;
  /** Tokens that the sequence can come to, prompt and completion. */
  readonly numPositions: number;
  readonly isDrafting: boolean;
  /** Whether to begin with what other sequences hold of the prompt, and to know what they went on with. */
  readonly isReusing: boolean;
  /** Whether others may begin with what this one holds, while it runs and after. */
  readonly isShared: boolean;
}

export interface KvUsage {
  readonly runningBytes: number;
  /** Of kept prefixes, which make way for sequences that run. */
  readonly keptBytes: number;
}

export class KvStore {
  private readonly memory: KvMemory;
  private readonly targetCaches: KvCachePool;
  private readonly mtpCaches: KvCachePool | null;
  private readonly onChange: (usage: KvUsage) => void;
  private readonly running = new Set<SequenceKv>();
  private readonly prefixes = new PrefixCache();

  constructor(
    memory: KvMemory,
    pools: { readonly targetCaches: KvCachePool; readonly mtpCaches: KvCachePool | null },
    onChange: (usage: KvUsage) => void,
  ) {
    this.memory = memory;
    this.targetCaches = pools.targetCaches;
    this.mtpCaches = pools.mtpCaches;
    this.onChange = onChange;
    this.trimFree();
  }

  get usage(): KvUsage {
    let runningBytes = 0;
    for (const { numBytes } of this.running) runningBytes += numBytes;
    return { runningBytes, keptBytes: this.prefixes.numBytes };
  }

  /**
   * The KV of a sequence that begins, holding as much of its prompt as another sequence has; null while there is no
   * room beside those that run. Must be released exactly once.
   */
  reserve(request: KvRequest): SequenceKv | null {
    const { numPositions, isDrafting, isReusing } = request;
    const numBytes = sequenceBytes(this.memory, numPositions, isDrafting);
    const roomBytes = this.memory.budgetBytes - this.usage.runningBytes;
    if (numBytes > roomBytes) return null;
    const sequences = isReusing ? this.sharedSequences() : [];
    const prompt = settled(request);
    const found = longestPrefix(sequences, prompt, isDrafting);
    const earlierText = found === null || !isDrafting ? [] : earlierTextFor(found.kv, prompt);
    const isKept = found !== null && this.prefixes.has(found.kv);
    const canCopy = numBytes + (isKept ? found.kv.numBytes : 0) <= roomBytes;
    let kv: SequenceKv;
    if (isKept && this.isMovable(found, numPositions, canCopy)) {
      kv = this.move(found, request, earlierText);
    } else {
      // As the latest used it is the last to make way, and there is room for it.
      if (isKept && canCopy) this.prefixes.touch(found.kv);
      while (this.prefixes.numBytes + numBytes > roomBytes) this.free(this.prefixes.evict()!);
      kv = this.allocate(request, numBytes, earlierText);
      if (found !== null && canCopy) this.takeOver(found, kv);
    }
    this.running.add(kv);
    this.trimFree();
    this.onChange(this.usage);
    return kv;
  }

  /** `isIntact`: its caches hold what they claim, so that later prompts may begin with it. */
  release(kv: SequenceKv, isIntact: boolean): void {
    if (!this.running.delete(kv)) throw new Error('a KV reservation was released that was not made');
    const dropped = kv.isShared && isIntact && kv.target.length > 0 ? this.prefixes.insert(kv) : [kv];
    for (const each of dropped) this.free(each);
    this.onChange(this.usage);
  }

  /** Another sequence that holds more of `prompt`, with which `kv` begins, than `kv` does itself. */
  findAhead(kv: SequenceKv, prompt: readonly number[], isDrafting: boolean): FoundPrefix | null {
    const others = this.sharedSequences().filter((other) => other !== kv);
    const found = longestPrefix(others, prompt, isDrafting);
    return found !== null && found.numPositions > kv.target.length ? found : null;
  }

  /** Whether another sequence that runs has yet to compute what `kv` begins with. */
  isFollowed(kv: SequenceKv): boolean {
    const { running } = this;
    return [...running].some(
      (other) => other !== kv && commonPrefixLength(other.tokenIds, kv.tokenIds) - 1 > other.target.length,
    );
  }

  /** `to` ends with what it holds in common with what was found for it. */
  takeOver({ kv, numPositions }: FoundPrefix, to: SequenceKv): void {
    to.target.extendFrom(kv.target, numPositions);
    if (kv.mtp !== null) to.mtp?.extendFrom(kv.mtp, numPositions);
  }

  private sharedSequences(): readonly SequenceKv[] {
    return [...this.prefixes.sequences, ...[...this.running].filter(({ isShared }) => isShared)];
  }

  private allocate(request: KvRequest, numBytes: number, earlierText: readonly number[]): SequenceKv {
    const { promptTokenIds, numPositions, isDrafting, isShared } = request;
    return {
      target: this.targetCaches.take(numPositions),
      mtp: isDrafting ? (this.mtpCaches?.take(numPositions) ?? null) : null,
      tokenIds: [...promptTokenIds],
      earlierText,
      numBytes,
      isShared,
    };
  }

  /** A cache of another capacity would hold too little, or more than the request was admitted for. */
  private isMovable(
    { kv, numPositions: numReused }: FoundPrefix,
    numPositions: number,
    canCopy: boolean,
  ): boolean {
    if (kv.target.capacity !== kvCapacity(numPositions, this.memory.maxPositions)) return false;
    return !canCopy || numReused >= MIN_MOVED_SHARE * kv.target.length;
  }

  private move(
    { kv, numPositions }: FoundPrefix,
    request: KvRequest,
    earlierText: readonly number[],
  ): SequenceKv {
    this.prefixes.remove(kv);
    kv.target.rewindTo(numPositions);
    // May hold less, where the sequence that begins does not draft.
    kv.mtp?.rewindTo(Math.min(kv.mtp.length, numPositions));
    const { promptTokenIds, isShared } = request;
    return { ...kv, tokenIds: [...promptTokenIds], earlierText, isShared };
  }

  private free({ target, mtp }: SequenceKv): void {
    this.targetCaches.giveBack(target);
    if (mtp !== null) this.mtpCaches?.giveBack(mtp);
  }

  /** Buffers that wait to be handed out again count against the budget too. */
  private trimFree(): void {
    const { runningBytes, keptBytes } = this.usage;
    const roomBytes = this.memory.budgetBytes - runningBytes - keptBytes;
    this.targetCaches.trimFree(roomBytes);
    this.mtpCaches?.trimFree(roomBytes - this.targetCaches.freeBytes);
  }
}

const settled = ({ promptTokenIds, numOpenTokens }: KvRequest): readonly number[] =>
  promptTokenIds.slice(0, promptTokenIds.length - numOpenTokens);
