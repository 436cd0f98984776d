import type { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { GraphConfig } from '../../../src/model/manifest.ts';
import { OnnxKvCache, OnnxKvCachePool } from '../../../src/model/onnx-kv-cache.ts';

const oneHead = { numLayers: 2, numKvHeads: 1, headSize: 4 };
const pool = (maxCapacity: number): OnnxKvCachePool =>
  new OnnxKvCachePool(
    { num_hidden_layers: 2, num_key_value_heads: 1, head_size: 4 } as GraphConfig,
    maxCapacity,
  );

const numbers = (tensor: Tensor | undefined): Float32Array => tensor!.data as Float32Array;
/** Of keys and values, which are all alike. */
const dims = ({ keys, values }: ReturnType<OnnxKvCache['tensors']>): readonly number[] => {
  const [first, ...others] = [...keys, ...values].map((tensor) => tensor.dims);
  for (const other of others) expect(other).toEqual(first);
  return first!;
};

describe('OnnxKvCache', () => {
  it('appends up to its capacity and no further', () => {
    const cache = new OnnxKvCache(oneHead, 10);
    cache.append(7);
    cache.append(3);
    expect(cache.length).toBe(10);
    expect(() => cache.append(1)).toThrow('expected room for 1 positions after 10, capacity is 10');
    expect(cache.length).toBe(10);
  });

  it('rewinds to what it holds and no further', () => {
    const cache = new OnnxKvCache(oneHead, 10);
    cache.append(7);
    expect(() => cache.rewindTo(8)).toThrow('expected at most the 7 positions held, got 8');
    cache.rewindTo(7);
    cache.rewindTo(2);
    expect(cache.length).toBe(2);
    expect(() => cache.rewindTo(3)).toThrow('the 2 positions held');
  });

  it('shows with one head the part in use, growing in steps of 64 up to the capacity', () => {
    const cache = new OnnxKvCache(oneHead, 160);
    const seen: number[] = [];
    for (const length of [1, 64, 65, 128, 129, 160]) {
      cache.pretendLength(length);
      seen.push(dims(cache.tensors())[2]!);
    }
    expect(seen).toEqual([64, 64, 128, 128, 160, 160]);
  });

  it('keeps what was written when the part in use grows, and when it shrinks', () => {
    const cache = new OnnxKvCache(oneHead, 256);
    cache.append(10);
    numbers(cache.tensors().keys[1]).fill(3, 0, 40);
    numbers(cache.tensors().values[0]).fill(5, 0, 40);
    cache.append(100);
    expect(dims(cache.tensors())).toEqual([1, 1, 128, 4]);
    expect([...numbers(cache.tensors().keys[1]).subarray(36, 44)]).toEqual([3, 3, 3, 3, 0, 0, 0, 0]);
    expect([...numbers(cache.tensors().values[0]).subarray(36, 44)]).toEqual([5, 5, 5, 5, 0, 0, 0, 0]);
    expect(numbers(cache.tensors().keys[0]).every((value) => value === 0)).toBe(true);
    cache.rewindTo(10);
    expect(numbers(cache.tensors().keys[1])[39]).toBe(3);
    expect(numbers(cache.tensors().keys[1])).toHaveLength(64 * 4);
  });

  it('shows with several heads the whole buffer, as a head begins where the one before has its capacity', () => {
    const cache = new OnnxKvCache({ ...oneHead, numKvHeads: 3 }, 160);
    const whole = cache.tensors();
    cache.append(1);
    expect(cache.tensors()).toBe(whole);
    expect(dims(whole)).toEqual([1, 3, 160, 4]);
    expect(numbers(whole.keys[0])).toHaveLength(3 * 160 * 4);
  });
});

describe('OnnxKvCachePool', () => {
  it.each([
    [1, 128],
    [128, 128],
    [129, 256],
    [257, 512],
    [600, 1000],
    [1000, 1000],
  ])('has for %i positions a cache of %i', (numPositions, capacity) => {
    expect(pool(1000).take(numPositions).capacity).toBe(capacity);
  });

  it('has no more room than the context window, be it shorter than the smallest cache', () => {
    expect(pool(100).take(10).capacity).toBe(100);
    expect(() => pool(100).take(101)).toThrow('expected at most 100 positions, got 101');
  });

  it('hands out again what was given back, emptied, to whoever needs as much', () => {
    const caches = pool(1000);
    const first = caches.take(200) as OnnxKvCache;
    first.append(50);
    const second = caches.take(200);
    expect(second).not.toBe(first);
    expect(caches.numInUse).toBe(2);
    caches.giveBack(first);
    expect(caches.numInUse).toBe(1);
    expect(caches.take(100)).not.toBe(first);
    const again = caches.take(256);
    expect(again).toBe(first);
    expect(again.length).toBe(0);
  });

  it('refuses a cache that is given back twice, or that is not its own', () => {
    const caches = pool(1000);
    const cache = caches.take(10);
    caches.giveBack(cache);
    expect(() => caches.giveBack(cache)).toThrow('was not handed out');
    expect(() => caches.giveBack(pool(1000).take(10))).toThrow('was not handed out');
    expect(caches.take(10)).toBe(cache);
    expect(caches.take(10)).not.toBe(cache);
  });
});
