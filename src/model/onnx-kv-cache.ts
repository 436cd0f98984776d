/**
 * A sequence's key and value buffers. GroupQueryAttention gets each buffer as past and as present, so it appends in
 * place; a rewind only lowers the length, and the next forward overwrites what lies beyond.
 *
 * onnxruntime-node 1.30 copies every output into a new array, present caches included, whoever owns their memory. So
 * a cache is no longer than its sequence needs, and where the layout allows it (one KV head), a run only sees the
 * part that is in use.
 */
import * as ort from 'onnxruntime-node';
import { kvCapacity, kvPositionBytes } from './kv-capacity.ts';
import type { GraphConfig } from './manifest.ts';
import type { KvCache, KvCachePool } from './target-model.ts';

/** Positions by which the part in use grows. */
const VIEW_STEP = 64;

export interface KvCacheShape {
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headSize: number;
}

interface View {
  readonly numPositions: number;
  /** [numLayers], each [1, numKvHeads, numPositions, headSize] */
  readonly keys: readonly ort.Tensor[];
  readonly values: readonly ort.Tensor[];
}

export class OnnxKvCache implements KvCache {
  readonly capacity: number;
  length = 0;
  private readonly shape: KvCacheShape;
  private readonly keyBuffers: readonly Float32Array[]; // [numLayers], each [numKvHeads, capacity, headSize]
  private readonly valueBuffers: readonly Float32Array[];
  private view: View;

  constructor(shape: KvCacheShape, capacity: number) {
    this.shape = shape;
    this.capacity = capacity;
    const buffer = (): Float32Array => new Float32Array(shape.numKvHeads * capacity * shape.headSize);
    this.keyBuffers = Array.from({ length: shape.numLayers }, buffer);
    this.valueBuffers = Array.from({ length: shape.numLayers }, buffer);
    this.view = this.viewOf(capacity);
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
      this.copyHeads(other.keyBuffers[layer]!, other.capacity, this.keyBuffers[layer]!, numPositions);
      this.copyHeads(other.valueBuffers[layer]!, other.capacity, this.valueBuffers[layer]!, numPositions);
    }
    this.length = numPositions;
  }

  /** Tensors over the positions held, and maybe some more. */
  tensors(): View {
    // With several heads a head's positions are `capacity` apart, and a shorter view would move them.
    if (this.shape.numKvHeads > 1) return this.view;
    const numPositions = Math.min(this.capacity, Math.ceil(this.length / VIEW_STEP) * VIEW_STEP);
    if (this.view.numPositions !== numPositions) this.view = this.viewOf(numPositions);
    return this.view;
  }

  /** A head begins where the one before has its capacity, so each is copied for itself. */
  private copyHeads(
    from: Float32Array, // [numKvHeads, fromCapacity, headSize]
    fromCapacity: number,
    to: Float32Array, // [numKvHeads, capacity, headSize]
    numPositions: number,
  ): void {
    const { numKvHeads, headSize } = this.shape;
    for (let head = 0; head < numKvHeads; head += 1) {
      const start = head * fromCapacity * headSize;
      to.set(from.subarray(start, start + numPositions * headSize), head * this.capacity * headSize);
    }
  }

  private viewOf(numPositions: number): View {
    const { numKvHeads, headSize } = this.shape;
    const size = numKvHeads * numPositions * headSize;
    const tensor = (buffer: Float32Array): ort.Tensor =>
      new ort.Tensor('float32', buffer.subarray(0, size), [1, numKvHeads, numPositions, headSize]);
    return { numPositions, keys: this.keyBuffers.map(tensor), values: this.valueBuffers.map(tensor) };
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
