import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { KvStore, type KvRequest, type KvUsage } from '../../../src/engine/kv-store.ts';
import type { SequenceKv } from '../../../src/engine/sequence-kv.ts';
import type { GraphConfig } from '../../../src/model/manifest.ts';
import { OnnxKvCachePool, type OnnxKvCache } from '../../../src/model/onnx-kv-cache.ts';

const MAX_POSITIONS = 512;
/** One layer, one head of size 1: a key and a value a position. */
const POSITION_BYTES = 8;
const graph = { num_hidden_layers: 1, num_key_value_heads: 1, head_size: 1 } as GraphConfig;
const bytes = (numPositions: number, isDrafting = true): number =>
  numPositions * POSITION_BYTES * (isDrafting ? 2 : 1);

/** A cache's entries: here the token ids that were written into it. */
const entries = (cache: OnnxKvCache): number[] => [...cache.bind().keys[0]!.data.subarray(0, cache.length)];

class Harness {
  readonly target = new OnnxKvCachePool(graph, MAX_POSITIONS);
  readonly mtp = new OnnxKvCachePool(graph, MAX_POSITIONS);
  readonly usages: KvUsage[] = [];
  readonly store: KvStore;
  readonly budgetBytes: number;

  constructor(budgetBytes: number) {
    this.budgetBytes = budgetBytes;
    this.store = new KvStore(
      {
        budgetBytes,
        maxPositions: MAX_POSITIONS,
        targetPositionBytes: POSITION_BYTES,
        mtpPositionBytes: POSITION_BYTES,
      },
      { targetCaches: this.target, mtpCaches: this.mtp },
      (usage) => this.usages.push(usage),
    );
  }

  reserve(promptTokenIds: readonly number[], given: Partial<KvRequest> = {}): SequenceKv | null {
    const numPositions = promptTokenIds.length + 1;
    return this.store.reserve({
      promptTokenIds,
      numOpenTokens: 0,
      numPositions,
      isDrafting: true,
      isReusing: true,
      isShared: true,
      ...given,
    });
  }

  /** As a model does: an entry of each token in the target's cache, of each but the first in the MTP module's. */
  fill(kv: SequenceKv): void {
    const write = (cache: OnnxKvCache, tokenIds: readonly number[]): void => {
      const first = cache.length;
      cache.append(tokenIds.length - first);
      cache.bind().keys[0]!.data.set(tokenIds.slice(first), first);
    };
    write(kv.target as OnnxKvCache, kv.tokenIds);
    if (kv.mtp !== null) write(kv.mtp as OnnxKvCache, kv.tokenIds.slice(1));
  }

  /** Runs a sequence to its end. */
  run(promptTokenIds: readonly number[], given: Partial<KvRequest> = {}): SequenceKv {
    const kv = this.reserve(promptTokenIds, given)!;
    this.fill(kv);
    this.store.release(kv, true);
    return kv;
  }

  get allocatedBytes(): number {
    const { runningBytes, keptBytes } = this.store.usage;
    return runningBytes + keptBytes + this.target.freeBytes + this.mtp.freeBytes;
  }
}

/** At most `maxReused` positions of the prompt, each with the right entry. */
function expectTrue(kv: SequenceKv, ids: readonly number[], isDrafting: boolean, maxReused: number): void {
  const { length } = kv.target;
  expect(length).toBeLessThanOrEqual(maxReused);
  expect(entries(kv.target as OnnxKvCache)).toEqual(ids.slice(0, length));
  const mtpEntries = isDrafting ? entries(kv.mtp as OnnxKvCache) : [];
  expect(mtpEntries).toEqual(isDrafting ? ids.slice(1, length + 1) : []);
}

const range = (length: number, first = 0): number[] => Array.from({ length }, (_, index) => first + index);

describe('KvStore', () => {
  let harness: Harness;
  beforeEach(() => {
    harness = new Harness(bytes(1024));
  });

  it('counts what runs and what is kept', () => {
    const kv = harness.reserve(range(100))!;
    expect(harness.store.usage).toEqual({ runningBytes: bytes(128), keptBytes: 0 });
    harness.fill(kv);
    harness.store.release(kv, true);
    expect(harness.store.usage).toEqual({ runningBytes: 0, keptBytes: bytes(128) });
    expect(harness.usages).toEqual([
      { runningBytes: bytes(128), keptBytes: 0 },
      { runningBytes: 0, keptBytes: bytes(128) },
    ]);
  });

  it('keeps neither what is not intact nor what holds nothing', () => {
    harness.store.release(harness.reserve(range(10))!, true);
    const kv = harness.reserve(range(10))!;
    harness.fill(kv);
    harness.store.release(kv, false);
    expect(harness.store.usage).toEqual({ runningBytes: 0, keptBytes: 0 });
    expect(harness.reserve(range(10))!.target.length).toBe(0);
  });

  it('lets nobody begin with what is not shared, neither while it runs nor after', () => {
    const kv = harness.reserve(range(100), { isShared: false })!;
    harness.fill(kv);
    expect(harness.reserve(range(100))!.target.length).toBe(0);
    harness.store.release(kv, true);
    expect(harness.store.usage.keptBytes).toBe(0);
  });

  it('does not share on what a sequence took over, if it is not to be shared', () => {
    harness.run(range(100));
    const kv = harness.reserve(range(110), { isShared: false })!;
    expect(kv.target.length).toBe(99);
    harness.fill(kv);
    harness.store.release(kv, true);
    expect(harness.store.usage.keptBytes).toBe(0);
  });

  it('refuses a release that is made twice', () => {
    const kv = harness.reserve(range(10))!;
    harness.store.release(kv, true);
    expect(() => harness.store.release(kv, true)).toThrow('was not made');
  });

  it('moves the buffers of a sequence that goes on', () => {
    const kept = harness.run(range(100));
    const kv = harness.reserve([...range(100), 7, 8])!;
    expect(kv.target).toBe(kept.target);
    expect(kv.mtp).toBe(kept.mtp);
    expect([kv.target.length, kv.mtp!.length]).toEqual([99, 99]);
    expect(kv.tokenIds).toEqual([...range(100), 7, 8]);
    expect(harness.store.usage).toEqual({ runningBytes: bytes(128), keptBytes: 0 });
  });

  it('copies where most of what is kept would be lost, and where another length is needed', () => {
    const kept = harness.run(range(100));
    for (const [prompt, given] of [
      [[...range(50), 7, 8], {}],
      [range(100), { numPositions: 200 }],
    ] as const) {
      const kv = harness.reserve(prompt, given)!;
      expect(kv.target).not.toBe(kept.target);
      const numReused = Math.min(prompt.length - 1, 99, given.numPositions === undefined ? 49 : 99);
      expect(entries(kv.target as OnnxKvCache)).toEqual(range(numReused));
      expect(entries(kv.mtp as OnnxKvCache)).toEqual(range(numReused, 1));
      harness.store.release(kv, false);
    }
    expect(harness.reserve(range(100))!.target).toBe(kept.target);
  });

  it('copies out of a longer cache than is needed, which stays as it is', () => {
    const kept = harness.run(range(100), { numPositions: 400 });
    const kv = harness.reserve(range(100))!;
    expect([kv.target.capacity, kv.target.length]).toEqual([128, 99]);
    expect(kept.target.length).toBe(100);
  });

  it('takes over no token that may yet be another', () => {
    harness.run(range(100));
    const kv = harness.reserve(range(100), { numOpenTokens: 3 })!;
    expect(kv.tokenIds).toEqual(range(100));
    expect(kv.target.length).toBe(96);
    expect(kv.earlierText).toEqual(range(27, 73));
  });

  it('knows what the sequence went on with that it was moved or copied from', () => {
    const kept = harness.run(range(100));
    kept.tokenIds.push(500, 501);
    const moved = harness.reserve([...range(99), 7])!;
    expect(moved.target).toBe(kept.target);
    expect(moved.earlierText).toEqual([...range(24, 75), 99, 500, 501]);
    harness.fill(moved);
    const copied = harness.reserve([...range(98), 8])!;
    expect(copied.target).not.toBe(moved.target);
    expect(copied.earlierText).toEqual([...moved.earlierText, ...range(24, 74), 98, 7]);
    expect(harness.reserve(range(98), { isReusing: false })!.earlierText).toEqual([]);
    expect(harness.reserve(range(98, 700))!.earlierText).toEqual([]);
  });

  it('copies from a sequence that runs', () => {
    const running = harness.reserve(range(100))!;
    harness.fill(running);
    const kv = harness.reserve([...range(60), 9, 9])!;
    expect(kv.target).not.toBe(running.target);
    expect(entries(kv.target as OnnxKvCache)).toEqual(range(59));
    expect(running.target.length).toBe(100);
  });

  it('takes the MTP module back to what is still true where a sequence goes on without drafts', () => {
    harness.run(range(100));
    const plain = harness.reserve([...range(90), ...range(10, 500)], { isDrafting: false })!;
    expect([plain.target.length, plain.mtp!.length]).toEqual([89, 89]);
    (plain.target as OnnxKvCache).append(11);
    harness.store.release(plain, true);
    expect(harness.reserve([...range(90), ...range(10, 500)])!.target.length).toBe(89);
  });

  it('has nothing for drafts in a sequence that was decoded without them', () => {
    harness.run(range(100), { isDrafting: false });
    expect(harness.reserve(range(100))!.target.length).toBe(0);
    expect(harness.reserve(range(100), { isDrafting: false })!.target.length).toBe(99);
  });

  it('does not look where it is not to', () => {
    harness.run(range(100));
    expect(harness.reserve(range(100), { isReusing: false })!.target.length).toBe(0);
  });

  it('makes room by what was used least recently', () => {
    for (const first of [0, 1000, 2000, 3000]) harness.run(range(200, first));
    expect(harness.store.usage.keptBytes).toBe(bytes(1024));
    const again = harness.reserve(range(200))!;
    expect(again.target.length).toBe(199);
    expect(harness.reserve(range(200, 9000))!.target.length).toBe(0);
    harness.store.release(again, true);
    // The second has made way; the others are still there.
    for (const [first, numFound] of [
      [2000, 199],
      [3000, 199],
      [1000, 0],
    ] as const) {
      const kv = harness.reserve([...range(200, first), 7], { numPositions: 210 });
      expect(kv?.target.length).toBe(numFound);
      harness.store.release(kv!, false);
    }
  });

  it('does not let make way what it is about to copy', () => {
    harness = new Harness(bytes(640));
    const [first] = [harness.run(range(100)), harness.run(range(100, 1000))];
    const kv = harness.reserve([...range(100), 7], { numPositions: 300 })!;
    expect(entries(kv.target as OnnxKvCache)).toEqual(range(99));
    harness.store.release(kv, false);
    expect(harness.reserve(range(100))!.target).toBe(first.target);
  });

  it('moves what it has no room to copy, and begins anew where it cannot be moved', () => {
    harness = new Harness(bytes(128));
    const kept = harness.run(range(100));
    const moved = harness.reserve([...range(20), 7])!;
    expect(moved.target).toBe(kept.target);
    expect(moved.target.length).toBe(19);
    harness.store.release(moved, false);
    harness = new Harness(bytes(512));
    harness.run(range(100));
    expect(harness.reserve([...range(100), 7], { numPositions: 500 })!.target.length).toBe(0);
  });

  it('has no room while what runs takes it, whatever is kept', () => {
    const [one] = [harness.reserve(range(500))!, harness.reserve(range(400))!];
    expect(harness.reserve(range(10))).toBeNull();
    harness.store.release(one, true);
    expect(harness.reserve(range(10))).not.toBeNull();
  });

  it('stays within the budget, finds no more than is true, and waits only for what runs', () => {
    let numReused = 0;
    const prompt = fc
      .tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 0, max: 300 }), fc.nat(2))
      // Common for a while, then its own.
      .map(([length, numCommon, own]) => range(length).map((id) => (id < numCommon ? id : id + 1000 * own)));
    const step = fc.record({
      prompt,
      numMore: fc.integer({ min: 1, max: 200 }),
      isDrafting: fc.boolean(),
      isReusing: fc.boolean(),
      numToEnd: fc.nat(3),
      isKept: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => {
        const tried = new Harness(bytes(1024));
        const { store } = tried;
        let running: SequenceKv[] = [];
        for (const { prompt: ids, numMore, isDrafting, isReusing, numToEnd, isKept } of steps) {
          const numPositions = ids.length + numMore;
          const capacity = Math.min(512, Math.max(128, 2 ** Math.ceil(Math.log2(numPositions))));
          const roomBytes = tried.budgetBytes - store.usage.runningBytes;
          const kv = tried.reserve(ids, { numPositions, isDrafting, isReusing });
          expect(kv === null).toBe(bytes(capacity, isDrafting) > roomBytes);
          expect(tried.allocatedBytes).toBeLessThanOrEqual(tried.budgetBytes);
          if (kv !== null) {
            running.push(kv);
            numReused += kv.target.length;
            expectTrue(kv, ids, isDrafting, isReusing ? ids.length - 1 : 0);
            tried.fill(isDrafting ? kv : { ...kv, mtp: null });
          }
          for (const each of running.slice(0, numToEnd)) store.release(each, isKept);
          running = running.slice(numToEnd);
          expect(store.usage.runningBytes).toBe(running.reduce((sum, { numBytes }) => sum + numBytes, 0));
        }
        for (const each of running) store.release(each, false);
        expect(store.usage.runningBytes).toBe(0);
      }),
      { numRuns: 200 },
    );
    expect(numReused).toBeGreaterThan(1000);
  });
});
