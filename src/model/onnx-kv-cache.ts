/**
 * A sequence's key and value buffers. A graph gets each of them as past and as present, so it appends in place; a rewind
 * only lowers the length, and the next forward overwrites what lies beyond.
 */
import { kvCapacity, kvPositionBytes, numCachesOf } from './kv-capacity.ts';
import type { GraphConfig } from './manifest.ts';
import type { BoundTensor } from './native-session.ts';
import type { KvCache, KvCachePool } from './target-model.ts';

export interface KvCacheShape {
  /** Layers times key-value heads. */
  readonly numCaches: number;
  readonly headSize: number;
}

/**
 * Of a buffer no more is bound than the positions in use, in such steps, as attention reads all that it is given. A whole
 * number of the kernels' vectors, so that what lies behind a sequence's end changes no sum's order.
 */
const LENGTH_STEP = 64;

/** The first positions of all buffers: each [1, boundLength, headSize]. */
export interface BoundCaches {
  readonly boundLength: number;
  readonly keys: readonly BoundTensor<Float32Array>[]; // [numCaches]
  readonly values: readonly BoundTensor<Float32Array>[]; // [numCaches]
}

export class OnnxKvCache implements KvCache {
  readonly capacity: number;
  length = 0;
  private readonly headSize: number;
  private readonly keys: readonly Float32Array[]; // [numCaches], each [capacity, headSize]
  private readonly values: readonly Float32Array[];
  private bound: BoundCaches | null = null; // the latest

  constructor({ numCaches, headSize }: KvCacheShape, capacity: number) {
    this.headSize = headSize;
    this.capacity = capacity;
    const buffer = (): Float32Array => new Float32Array(capacity * headSize);
    this.keys = Array.from({ length: numCaches }, buffer);
    this.values = Array.from({ length: numCaches }, buffer);
  }

  /** What a forward needs that ends at `length`. */
  bind(): BoundCaches {
    const boundLength = Math.min(Math.ceil(this.length / LENGTH_STEP) * LENGTH_STEP, this.capacity);
    if (this.bound?.boundLength === boundLength) return this.bound;
    return (this.bound = this.firstPositions(boundLength));
  }

  private firstPositions(boundLength: number): BoundCaches {
    const dims = [1, boundLength, this.headSize];
    const view = (buffer: Float32Array): BoundTensor<Float32Array> => ({
      data: buffer.subarray(0, boundLength * this.headSize),
      dims,
    });
    return { boundLength, keys: this.keys.map(view), values: this.values.map(view) };
  }

  rewindTo(length: number): void {
    if (length > this.length)
      throw new Error(`expected at most the ${this.length} positions held, got ${length}`);
    this.length = length;
  }

  append(numTokens: number): void {
    if (this.length + numTokens > this.capacity) {
      throw new Error(
        `expected room for ${numTokens} positions after ${this.length}, capacity is ${this.capacity}`,
      );
    }
    this.length += numTokens;
  }

  pretendLength(length: number): void {
    this.length = length;
  }

  extendFrom(source: KvCache, numPositions: number): void {
    const other = source as OnnxKvCache;
    if (numPositions < this.length || numPositions > Math.min(other.length, this.capacity)) {
      throw new Error(
        `expected at least the ${this.length} positions held, at most the ${other.length} of the source and a capacity of ` +
          `${this.capacity}, got ${numPositions}`,
      );
    }
    const [start, end] = [this.length * this.headSize, numPositions * this.headSize];
    for (const [index, keys] of this.keys.entries()) {
      keys.set(other.keys[index]!.subarray(start, end), start);
      this.values[index]!.set(other.values[index]!.subarray(start, end), start);
    }
    this.length = numPositions;
  }
}

/** Caches that were given back are handed out again: their buffers are the bulk of a sequence's memory. */
export class OnnxKvCachePool implements KvCachePool {
  private readonly shape: KvCacheShape;
  private readonly positionBytes: number;
  private readonly maxCapacity: number;
  private readonly free: KvCache[] = []; // latest last
  private readonly taken = new Set<KvCache>();

  constructor(graph: GraphConfig, maxCapacity: number) {
    this.shape = { numCaches: numCachesOf(graph), headSize: graph.head_size };
    this.positionBytes = kvPositionBytes(graph);
    this.maxCapacity = maxCapacity;
  }

  get numInUse(): number {
    return this.taken.size;
  }

  get freeBytes(): number {
    return this.positionBytes * this.free.reduce((sum, { capacity }) => sum + capacity, 0);
  }

  take(numPositions: number): KvCache {
    if (numPositions > this.maxCapacity)
      throw new Error(`expected at most ${this.maxCapacity} positions, got ${numPositions}`);
    const capacity = kvCapacity(numPositions, this.maxCapacity);
    const index = this.free.findLastIndex((cache) => cache.capacity === capacity);
    const [cache = new OnnxKvCache(this.shape, capacity)] = index === -1 ? [] : this.free.splice(index, 1);
    this.taken.add(cache);
    return cache;
  }

  giveBack(cache: KvCache): void {
    if (!this.taken.delete(cache)) throw new Error('a KV cache was given back that was not handed out');
    cache.rewindTo(0);
    this.free.push(cache);
  }

  trimFree(numBytes: number): void {
    while (this.freeBytes > numBytes) this.free.shift();
  }
}
