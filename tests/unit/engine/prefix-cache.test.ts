import { describe, expect, it } from 'vitest';
import { longestPrefix, PrefixCache } from '../../../src/engine/prefix-cache.ts';
import { sequenceKv } from '../../support/sequence-kv.ts';

describe('PrefixCache', () => {
  it('evicts what was used least recently', () => {
    const cache = new PrefixCache();
    const [a, b, c] = [sequenceKv([1, 1, 1]), sequenceKv([2, 2, 2]), sequenceKv([3, 3, 3])];
    for (const kv of [a, b, c]) expect(cache.insert(kv)).toEqual([]);
    cache.touch(a);
    expect(cache.sequences).toEqual([a, c, b]);
    expect(cache.numBytes).toBe(3 * 64);
    expect([cache.evict(), cache.evict(), cache.evict(), cache.evict()]).toEqual([b, c, a, undefined]);
    expect(cache.numBytes).toBe(0);
  });

  it('drops what a new sequence covers', () => {
    const cache = new PrefixCache();
    const [short, other, long] = [sequenceKv([1, 2, 3]), sequenceKv([1, 9, 9]), sequenceKv([1, 2, 3, 4])];
    cache.insert(short);
    cache.insert(other);
    expect(cache.insert(long)).toEqual([short]);
    expect(cache.sequences).toEqual([long, other]);
  });

  it('does not keep what it covers already, but takes note of the use', () => {
    const cache = new PrefixCache();
    const [long, other, short] = [sequenceKv([1, 2, 3, 4]), sequenceKv([7, 8, 9]), sequenceKv([1, 2, 3])];
    cache.insert(long);
    cache.insert(other);
    expect(cache.insert(short)).toEqual([short]);
    expect(cache.sequences).toEqual([long, other]);
    expect(cache.insert(sequenceKv([1, 2, 3, 4]))).toHaveLength(1);
    expect(cache.sequences).toEqual([long, other]);
  });

  it('keeps a shorter sequence that has more of the MTP module', () => {
    const cache = new PrefixCache();
    const [drafted, plain] = [sequenceKv([1, 2, 3]), sequenceKv([1, 2, 3, 4], 3, null)];
    cache.insert(drafted);
    expect(cache.insert(plain)).toEqual([]);
    expect(cache.sequences).toEqual([plain, drafted]);
  });

  it('knows what it keeps', () => {
    const cache = new PrefixCache();
    const kv = sequenceKv([1, 2]);
    expect(cache.has(kv)).toBe(false);
    cache.insert(kv);
    expect(cache.has(kv)).toBe(true);
    cache.remove(kv);
    expect(cache.has(kv)).toBe(false);
  });
});

describe('longestPrefix', () => {
  it('finds the sequence that has most of the prompt, the first on a tie', () => {
    const sequences = [sequenceKv([1, 2, 9, 9]), sequenceKv([1, 2, 3, 9]), sequenceKv([1, 2, 3, 8])];
    expect(longestPrefix(sequences, [1, 2, 3, 4], true)).toEqual({ kv: sequences[1], numPositions: 2 });
    expect(longestPrefix(sequences, [1, 2, 3, 8], true)).toEqual({ kv: sequences[2], numPositions: 3 });
  });

  it('is null where there is nothing to take over', () => {
    expect(longestPrefix([], [1, 2], false)).toBeNull();
    expect(longestPrefix([sequenceKv([1, 2, 3])], [2, 3], false)).toBeNull();
    expect(longestPrefix([sequenceKv([1, 2, 3])], [1], false)).toBeNull();
  });
});
