import { describe, expect, it } from 'vitest';
import {
  assertFits,
  kvMemoryOf,
  workersWithRoom,
  maxSequencePositions,
  sequenceBytes,
} from '../../../src/engine/kv-memory.ts';
import type { ModelManifest } from '../../../src/model/manifest.ts';

const MIB = 1024 * 1024;
const graph = (numLayers: number) => ({
  num_hidden_layers: numLayers,
  num_key_value_heads: 1,
  head_size: 64,
});
/** The shipped model's sizes: 6 KiB a position in the target's cache, half of one in the MTP module's. */
const manifest = {
  id: 'm',
  contextLength: 2048,
  target: graph(12),
  mtp: graph(1),
} as unknown as ModelManifest;

describe('kvMemoryOf', () => {
  it('knows what a position takes', () => {
    expect(kvMemoryOf(manifest, 100, 4)).toEqual({
      budgetBytes: 100 * MIB,
      maxPositions: 2048,
      targetPositionBytes: 6144,
      mtpPositionBytes: 512,
    });
    expect(kvMemoryOf({ ...manifest, mtp: null }, 100, 4).mtpPositionBytes).toBe(0);
  });

  it('chooses room for all that may run, at least 256 MiB', () => {
    expect(kvMemoryOf(manifest, 0, 4).budgetBytes).toBe(256 * MIB);
    expect(kvMemoryOf(manifest, 0, 40).budgetBytes).toBe(40 * 13 * MIB);
    expect(kvMemoryOf(manifest, 0, 4, 2).budgetBytes).toBe(128 * MIB);
  });

  it('has as many workers as have room for the context window', () => {
    expect(workersWithRoom(manifest, 0, 2)).toBe(2);
    expect(workersWithRoom(manifest, 40, 4)).toBe(3);
    expect(workersWithRoom(manifest, 20, 4)).toBe(1);
    expect(workersWithRoom(manifest, 1, 4)).toBe(1);
  });

  it('refuses a budget in which nothing runs', () => {
    const large = { ...manifest, target: graph(200) } as unknown as ModelManifest;
    expect(() => kvMemoryOf(large, 12, 4)).toThrow(
      "--kv-cache-mib: expected at least 12.56 MiB, the shortest sequence of 'm' in each worker, got 12",
    );
    expect(kvMemoryOf(large, 13, 4).budgetBytes).toBe(13 * MIB);
  });
});

describe('sequenceBytes', () => {
  it('is that of the caches, whose lengths are powers of two up to the context window', () => {
    const memory = kvMemoryOf({ ...manifest, contextLength: 1500 }, 100, 4);
    const positions = (numPositions: number): number => sequenceBytes(memory, numPositions, false) / 6144;
    expect([1, 128, 129, 1024, 1025, 1500].map(positions)).toEqual([128, 128, 256, 1024, 1500, 1500]);
    expect(sequenceBytes(memory, 300, true)).toBe(512 * (6144 + 512));
  });
});

describe('maxSequencePositions', () => {
  it.each([
    [1, 128],
    [2, 256],
    [6, 512],
    [7, 1024],
    [12, 1024],
    [13, 2048],
    [1000, 2048],
  ])('in %i MiB is %i tokens', (budgetMib, expected) => {
    expect(maxSequencePositions(kvMemoryOf(manifest, budgetMib, 1), true)).toBe(expected);
  });

  it('is more without drafts', () => {
    expect(maxSequencePositions(kvMemoryOf(manifest, 12, 1), false)).toBe(2048);
  });
});

describe('assertFits', () => {
  const memory = kvMemoryOf(manifest, 7, 1);
  const prompt = (length: number, maxTokens: number) => ({ tokenIds: Array(length).fill(1), maxTokens });

  it('lets through what could run alone', () => {
    expect(() => assertFits(memory, prompt(1000, 24), true)).not.toThrow();
  });

  it('says what is needed and what there is', () => {
    expect(() => assertFits(memory, prompt(1000, 25), true)).toThrow(
      expect.objectContaining({
        code: 'kv_cache_exceeded',
        param: 'max_tokens',
        message:
          'This request needs 13 MiB of KV cache for 1025 tokens (1000 in the prompt, 25 in the completion). ' +
          'However, the server has 7 MiB, enough for 1024 tokens.',
      }),
    );
  });

  it('blames the prompt where no completion would fit', () => {
    expect(() => assertFits(memory, prompt(1024, 1), true)).toThrow(
      expect.objectContaining({ param: 'prompt' }),
    );
  });
});
