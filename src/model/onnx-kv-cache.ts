/**
 * A sequence's key and value buffers. GroupQueryAttention gets each buffer as past and as present, so it appends in
 * place; a rewind only lowers the length, and the next forward overwrites what lies beyond.
 *
 * onnxruntime-node 1.30 copies every output into a new array, present caches included, whoever owns their memory. So
 * a cache is no longer than its sequence needs, and where the layout allows it (one KV head), a run only sees the
 * part that is in use.
 */
import * as ort from 'onnxruntime-node';
import type { GraphConfig } from './manifest.ts';
import type { KvCache, KvCachePool } from './target-model.ts';

/** Positions by which the part in use grows. */
const VIEW_STEP = 64;
const MIN_CAPACITY = 128;

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

  /** Tensors over the positions held, and maybe some more. */
  tensors(): View {
    // With several heads a head's positions are `capacity` apart, and a shorter view would move them.
    if (this.shape.numKvHeads > 1) return this.view;
    const numPositions = Math.min(this.capacity, Math.ceil(this.length / VIEW_STEP) * VIEW_STEP);
    if (this.view.numPositions !== numPositions) this.view = this.viewOf(numPositions);
    return this.view;
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
  private readonly maxCapacity: number;
  private readonly free = new Map<number, KvCache[]>(); // by capacity
  private readonly taken = new Set<KvCache>();

  constructor(graph: GraphConfig, maxCapacity: number) {
    this.shape = {
      numLayers: graph.num_hidden_layers,
      numKvHeads: graph.num_key_value_heads,
      headSize: graph.head_size,
    };
    this.maxCapacity = maxCapacity;
  }

  get numInUse(): number {
    return this.taken.size;
  }

  take(numPositions: number): KvCache {
    if (numPositions > this.maxCapacity)
      throw new Error(`expected at most ${this.maxCapacity} positions, got ${numPositions}`);
    let capacity = MIN_CAPACITY;
    while (capacity < numPositions) capacity *= 2;
    capacity = Math.min(capacity, this.maxCapacity);
    const cache = this.free.get(capacity)?.pop() ?? new OnnxKvCache(this.shape, capacity);
    this.taken.add(cache);
    return cache;
  }

  giveBack(cache: KvCache): void {
    if (!this.taken.delete(cache)) throw new Error('a KV cache was given back that was not handed out');
    cache.rewindTo(0);
    const sameCapacity = this.free.get(cache.capacity) ?? [];
    this.free.set(cache.capacity, [...sameCapacity, cache]);
  }
}
