/**
 * A sequence's key and value buffers. GroupQueryAttention gets each buffer as past and as present, so it appends in
 * place; a rewind only lowers the length, and the next forward overwrites what lies beyond.
 */
import * as ort from 'onnxruntime-node';
import { kvCapacity, kvPositionBytes } from './kv-capacity.ts';
import type { GraphConfig } from './manifest.ts';
import type { KvCache, KvCachePool } from './target-model.ts';

export interface KvCacheShape {
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headSize: number;
}

export class OnnxKvCache implements KvCache {
  readonly capacity: number;
  /** [numLayers], each [1, numKvHeads, capacity, headSize]. */
  readonly keys: readonly ort.Tensor[];
  readonly values: readonly ort.Tensor[];
  length = 0;
  private readonly shape: KvCacheShape;

  constructor(shape: KvCacheShape, capacity: number) {
    this.shape = shape;
    this.capacity = capacity;
    const dims = [1, shape.numKvHeads, capacity, shape.headSize];
    const tensor = (): ort.Tensor =>
      new ort.Tensor('float32', new Float32Array(shape.numKvHeads * capacity * shape.headSize), dims);
    this.keys = Array.from({ length: shape.numLayers }, tensor);
    this.values = Array.from({ length: shape.numLayers }, tensor);
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

  copyFrom(source: KvCache, numPositions: number): void {
    const other = source as OnnxKvCache;
    if (numPositions > other.length || numPositions > this.capacity) {
      throw new Error(
        `expected at most the ${other.length} positions of the source and a capacity of ${this.capacity}, got ${numPositions}`,
      );
    }
    for (let layer = 0; layer < this.shape.numLayers; layer += 1) {
      this.copyHeads(other.keys[layer]!, other.capacity, this.keys[layer]!, numPositions);
      this.copyHeads(other.values[layer]!, other.capacity, this.values[layer]!, numPositions);
    }
    this.length = numPositions;
  }

  /** A head begins where the one before has its capacity, so each is copied for itself. */
  private copyHeads(
    source: ort.Tensor, // [1, numKvHeads, fromCapacity, headSize]
    fromCapacity: number,
    target: ort.Tensor, // [1, numKvHeads, capacity, headSize]
    numPositions: number,
  ): void {
    const { numKvHeads, headSize } = this.shape;
    const [from, to] = [source.data as Float32Array, target.data as Float32Array];
    for (let head = 0; head < numKvHeads; head += 1) {
      const start = head * fromCapacity * headSize;
      to.set(from.subarray(start, start + numPositions * headSize), head * this.capacity * headSize);
    }
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
    this.shape = {
      numLayers: graph.num_hidden_layers,
      numKvHeads: graph.num_key_value_heads,
      headSize: graph.head_size,
    };
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
