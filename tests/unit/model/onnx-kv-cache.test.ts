import { describe, expect, it } from 'vitest';
import type { GraphConfig } from '../../../src/model/manifest.ts';
import type { BoundTensor } from '../../../src/model/native-session.ts';
import { OnnxKvCache, OnnxKvCachePool } from '../../../src/model/onnx-kv-cache.ts';

const shape = { numCaches: 2, headSize: 4 };
const pool = (maxCapacity: number): OnnxKvCachePool =>
  new OnnxKvCachePool(
    { num_hidden_layers: 2, num_key_value_heads: 1, head_size: 4 } as GraphConfig,
    maxCapacity,
  );

const numbers = (tensor: BoundTensor<Float32Array> | undefined): Float32Array => tensor!.data;

describe('OnnxKvCache', () => {
  it('appends up to its capacity and no further', () => {
    const cache = new OnnxKvCache(shape, 10);
    cache.append(7);
    cache.append(3);
    expect(cache.length).toBe(10);
    expect(() => cache.append(1)).toThrow('expected room for 1 positions after 10, capacity is 10');
    expect(cache.length).toBe(10);
  });

  it('rewinds to what it holds and no further', () => {
    const cache = new OnnxKvCache(shape, 10);
    cache.append(7);
    expect(() => cache.rewindTo(8)).toThrow('expected at most the 7 positions held, got 8');
    cache.rewindTo(7);
    cache.rewindTo(2);
    expect(cache.length).toBe(2);
    expect(() => cache.rewindTo(3)).toThrow('the 2 positions held');
  });

  it.each([
    [1, 64],
    [64, 64],
    [65, 128],
    [128, 128],
    [129, 160],
    [160, 160],
  ])('binds for %i positions the first %i of every buffer', (numPositions, boundLength) => {
    const cache = new OnnxKvCache(shape, 160);
    cache.append(numPositions);
    const { keys, values, ...bound } = cache.bind();
    expect(bound.boundLength).toBe(boundLength);
    for (const { dims, data } of [...keys, ...values]) {
      expect(dims).toEqual([1, boundLength, 4]);
      expect(data.byteOffset).toBe(0);
    }
    const buffers = new Set([...keys, ...values].map(({ data }) => data.buffer));
    expect(buffers.size).toBe(2 * shape.numCaches);
  });

  it('binds the same buffers however much of them', () => {
    const cache = new OnnxKvCache(shape, 160);
    cache.append(10);
    const short = cache.bind().keys[1]!.data;
    cache.append(100);
    expect(cache.bind().keys[1]!.data.buffer).toBe(short.buffer);
    cache.rewindTo(20);
    expect(cache.bind().keys[1]!.data.buffer).toBe(short.buffer);
    expect(cache.bind()).toBe(cache.bind());
  });
});

describe('extendFrom', () => {
  const filled = (numPositions: number): OnnxKvCache => {
    const cache = new OnnxKvCache(shape, 16);
    cache.append(numPositions);
    const { keys, values } = cache.bind();
    for (const [index, tensor] of [...keys, ...values].entries())
      numbers(tensor).forEach((_, at, data) => (data[at] = 1000 * (index + 1) + at));
    return cache;
  };

  it('takes over the first positions of every buffer, between caches of any capacity', () => {
    for (const capacity of [8, 16, 32]) {
      const source = filled(5);
      const cache = new OnnxKvCache(shape, capacity);
      cache.extendFrom(source, 2);
      expect(cache.length).toBe(2);
      for (const side of ['keys', 'values'] as const)
        for (const index of [0, 1]) {
          const copied = numbers(cache.bind()[side][index]);
          expect(copied.subarray(0, 8)).toEqual(numbers(source.bind()[side][index]).subarray(0, 8));
          expect(copied.length).toBe(4 * capacity);
          expect(copied.subarray(8).every((value) => value === 0)).toBe(true);
        }
    }
  });

  it('leaves what is held as it is', () => {
    const cache = filled(2);
    numbers(cache.bind().keys[0]).fill(7);
    const source = filled(5);
    cache.extendFrom(source, 4);
    expect(cache.length).toBe(4);
    const [copied, original] = [cache, source].map((each) => numbers(each.bind().keys[0]));
    expect(copied!.subarray(0, 8).every((value) => value === 7)).toBe(true);
    expect(copied!.subarray(8, 16)).toEqual(original!.subarray(8, 16));
    expect(copied!.subarray(16).every((value) => value === 7)).toBe(true);
    expect(() => cache.extendFrom(source, 3)).toThrow('at least the 4 positions held');
  });

  it('refuses what the source does not hold and what there is no room for', () => {
    const source = new OnnxKvCache(shape, 16);
    source.append(10);
    const cache = new OnnxKvCache(shape, 8);
    expect(() => cache.extendFrom(source, 9)).toThrow('the 10 of the source and a capacity of 8, got 9');
    expect(() => new OnnxKvCache(shape, 16).extendFrom(source, 11)).toThrow('got 11');
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

  it('keeps what was given back up to a limit, the latest first', () => {
    const caches = pool(1000);
    const bytesOf = (capacity: number): number => 2 * 2 * 4 * 4 * capacity;
    const taken = [128, 256, 512].map((numPositions) => caches.take(numPositions));
    expect(caches.freeBytes).toBe(0);
    for (const cache of taken) caches.giveBack(cache);
    expect(caches.freeBytes).toBe(bytesOf(128 + 256 + 512));
    caches.trimFree(bytesOf(800));
    expect(caches.freeBytes).toBe(bytesOf(256 + 512));
    expect(caches.take(512)).toBe(taken[2]);
    caches.trimFree(0);
    expect(caches.freeBytes).toBe(0);
    expect(caches.take(256)).not.toBe(taken[1]);
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
