/**
 * A sequence's key and value buffers. GroupQueryAttention gets each buffer as past and as present, so it appends in
 * place; a rewind only lowers the length, and the next forward overwrites what lies beyond.
 */
import * as ort from 'onnxruntime-node';
import { ForetokenError } from '../errors.ts';
import type { GraphConfig } from './manifest.ts';
import type { KvCache, KvCachePool } from './target-model.ts';

export interface KvCacheShape {
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headSize: number;
  readonly capacity: number;
}

export class OnnxKvCache implements KvCache {
  readonly capacity: number;
  /** [numLayers], each [1, numKvHeads, capacity, headSize] */
  readonly keys: readonly ort.Tensor[];
  readonly values: readonly ort.Tensor[];
  length = 0;

  constructor(shape: KvCacheShape) {
    this.capacity = shape.capacity;
    const buffer = (): ort.Tensor =>
      new ort.Tensor('float32', new Float32Array(shape.numKvHeads * shape.capacity * shape.headSize), [
        1,
        shape.numKvHeads,
        shape.capacity,
        shape.headSize,
      ]);
    this.keys = Array.from({ length: shape.numLayers }, buffer);
    this.values = Array.from({ length: shape.numLayers }, buffer);
  }

  rewindTo(length: number): void {
    if (length > this.length) throw new Error(`expected at most the ${this.length} positions held, got ${length}`);
    this.length = length;
  }

  append(numTokens: number): void {
    if (this.length + numTokens > this.capacity) {
      throw new Error(`expected room for ${numTokens} positions after ${this.length}, capacity is ${this.capacity}`);
    }
    this.length += numTokens;
  }

  pretendLength(length: number): void {
    this.length = length;
  }
}

/** Caches that were given back are handed out again: their buffers are the bulk of a sequence's memory. */
export class OnnxKvCachePool implements KvCachePool {
  private readonly shape: KvCacheShape;
  private readonly free: KvCache[] = [];
  private numTaken = 0;

  constructor(graph: GraphConfig, capacity: number) {
    this.shape = {
      numLayers: graph.num_hidden_layers,
      numKvHeads: graph.num_key_value_heads,
      headSize: graph.head_size,
      capacity,
    };
  }

  get numInUse(): number {
    return this.numTaken;
  }

  take(): KvCache {
    this.numTaken += 1;
    return this.free.pop() ?? new OnnxKvCache(this.shape);
  }

  giveBack(cache: KvCache): void {
    if (this.free.includes(cache)) throw new ForetokenError('internal_error', 'a KV cache was given back twice');
    cache.rewindTo(0);
    this.numTaken -= 1;
    this.free.push(cache);
  }
}
