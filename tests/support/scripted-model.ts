/**
 * A target model and an MTP module that are pure functions of the tokens in their caches, so that any mistake in
 * caching, rewinding or positions changes the text. As with the real kernels, a forward of a single token rounds
 * otherwise than a wider one.
 */
import { kvCapacity } from '../../src/model/kv-capacity.ts';
import {
  PADDING_TOKEN_ID,
  type KvCache,
  type KvCachePool,
  type MtpModule,
  type MtpOutput,
  type SharedModels,
  type TargetModel,
  type TargetOutput,
} from '../../src/model/target-model.ts';

export const VOCAB_SIZE = 24;
export const HIDDEN_SIZE = 2;
const HASH_BITS = 0xffffff; // exact in a float32

/** Hash of a sequence after one more token. */
export function extendHash(hash: number, tokenId: number): number {
  let x = Math.imul(hash ^ Math.imul(tokenId + 1, 0x9e3779b1), 0x85ebca6b);
  x ^= x >>> 13;
  return Math.imul(x, 0xc2b2ae35) >>> 8;
}

/** The target's logits [VOCAB_SIZE] after a sequence of that hash. */
export function scriptedLogits(hash: number): Float32Array {
  return Float32Array.from({ length: VOCAB_SIZE }, (_, tokenId) => {
    const noise = (extendHash(hash ^ 0x5bd1e9, tokenId) & HASH_BITS) / HASH_BITS;
    return 6 * noise - 3;
  });
}

export const hashOf = (tokenIds: readonly number[]): number => tokenIds.reduce(extendHash, 0);

export class ScriptedCache implements KvCache {
  readonly capacity: number;
  readonly tokenIds: number[] = [];
  length = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  rewindTo(length: number): void {
    if (length > this.length) throw new Error(`rewind to ${length} of ${this.length}`);
    this.length = length;
  }

  pretendLength(length: number): void {
    this.length = length;
  }

  extendFrom(source: KvCache, numPositions: number): void {
    if (numPositions > source.length || numPositions > this.capacity) throw new Error('copy of too much');
    if (numPositions < this.length) throw new Error('copy of too little');
    const copied = (source as ScriptedCache).tokenIds.slice(this.length, numPositions);
    this.tokenIds.splice(this.length, Infinity, ...copied);
    this.length = numPositions;
  }

  /** Overwrites what lies beyond the length, as the real cache does. */
  append(tokenIds: readonly number[]): void {
    if (this.length + tokenIds.length > this.capacity) throw new Error('cache overflow');
    for (const tokenId of tokenIds) {
      this.tokenIds[this.length] = tokenId;
      this.length += 1;
    }
  }
}

export class ScriptedCachePool implements KvCachePool {
  readonly capacity: number;
  readonly freeBytes = 0;
  readonly taken = new Set<KvCache>();

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get numInUse(): number {
    return this.taken.size;
  }

  take(numPositions: number): KvCache {
    const cache = new ScriptedCache(kvCapacity(numPositions, this.capacity));
    this.taken.add(cache);
    return cache;
  }

  giveBack(cache: KvCache): void {
    if (!this.taken.delete(cache)) throw new Error('given back twice');
  }

  trimFree(): void {}
}

export class ScriptedTarget implements TargetModel {
  readonly vocabSize = VOCAB_SIZE;
  readonly hiddenSize = HIDDEN_SIZE;
  readonly maxWidth: number;
  readonly widths: number[] = [];

  constructor(maxWidth = 16) {
    this.maxWidth = maxWidth;
  }

  async forward(cache: KvCache, tokenIds: readonly number[]): Promise<TargetOutput> {
    const length = cache.length + tokenIds.length;
    const padding = tokenIds.length === 1 ? [PADDING_TOKEN_ID] : [];
    const { logits, hiddenStates } = await this.forwardAtWidth(cache, [...tokenIds, ...padding]);
    cache.rewindTo(length);
    return {
      logits: logits.subarray(0, tokenIds.length * VOCAB_SIZE),
      hiddenStates: hiddenStates.subarray(0, tokenIds.length * HIDDEN_SIZE),
    };
  }

  async forwardAtWidth(cache: KvCache, tokenIds: readonly number[]): Promise<TargetOutput> {
    if (tokenIds.length > this.maxWidth) throw new Error(`forward of ${tokenIds.length} tokens`);
    this.widths.push(tokenIds.length);
    const scripted = cache as ScriptedCache;
    const first = scripted.length;
    scripted.append(tokenIds);
    const logits = new Float32Array(tokenIds.length * VOCAB_SIZE);
    const hiddenStates = new Float32Array(tokenIds.length * HIDDEN_SIZE);
    let hash = hashOf(scripted.tokenIds.slice(0, first));
    for (const [row, tokenId] of tokenIds.entries()) {
      hash = extendHash(hash, tokenId);
      // The kernel of width 1 rounds otherwise: here so much that every token changes.
      const rowLogits = scriptedLogits(tokenIds.length === 1 ? hash ^ 1 : hash);
      logits.set(rowLogits, row * VOCAB_SIZE);
      hiddenStates.set([hash, first + row], row * HIDDEN_SIZE);
    }
    return { logits, hiddenStates };
  }

  async close(): Promise<void> {}
}

/** Drafts what the target would choose wherever `agrees(position of the draft)` holds, and something else elsewhere. */
export class ScriptedMtp implements MtpModule {
  readonly maxWidth: number;
  private readonly agrees: (position: number) => boolean;

  constructor(agrees: (position: number) => boolean, maxWidth = 16) {
    this.agrees = agrees;
    this.maxWidth = maxWidth;
  }

  async forward(cache: KvCache, tokenIds: readonly number[], hiddenStates: Float32Array): Promise<MtpOutput> {
    const scripted = cache as ScriptedCache;
    const nextStates = new Float32Array(tokenIds.length * HIDDEN_SIZE);
    let logits: Float32Array = new Float32Array(0);
    for (const [row, tokenId] of tokenIds.entries()) {
      const [hash, position] = hiddenStates.subarray(row * HIDDEN_SIZE) as unknown as [number, number];
      if (position !== scripted.length + row)
        throw new Error(`state of position ${position} given at ${scripted.length + row}`);
      const nextHash = extendHash(hash, tokenId);
      nextStates.set([nextHash, position + 1], row * HIDDEN_SIZE);
      logits = scriptedLogits(nextHash);
      if (!this.agrees(position + 2)) logits = logits.map((logit) => -logit);
    }
    scripted.append(tokenIds);
    return { logits, hiddenStates: nextStates };
  }

  async close(): Promise<void> {}
}

/** Passes for `numSequences`; `log` is told the tokens of each part. */
export function scriptedShared(
  numSequences: number,
  target: TargetModel,
  mtp: MtpModule,
  log: (pass: 'draft' | 'verify', widths: number[]) => void,
): SharedModels {
  const told = <Part extends { readonly tokenIds: readonly number[] }>(
    pass: 'draft' | 'verify',
    parts: readonly Part[],
  ): readonly Part[] => {
    if (parts.length !== numSequences) throw new Error(`${parts.length} parts for ${numSequences} sequences`);
    log(
      pass,
      parts.map(({ tokenIds }) => tokenIds.length),
    );
    return parts;
  };
  return {
    target: {
      numSequences,
      maxWidth: 9,
      forward: async (parts) =>
        Promise.all(
          told('verify', parts).map(async ({ cache, tokenIds }) => target.forward(cache, tokenIds)),
        ),
      forwardAtWidth: async (parts) =>
        Promise.all(parts.map(async ({ cache, tokenIds }) => target.forwardAtWidth(cache, tokenIds))),
      close: async () => {},
    },
    mtp: {
      maxWidth: 9,
      forward: async (parts) =>
        Promise.all(
          told('draft', parts).map(async ({ cache, tokenIds, hiddenStates }) =>
            mtp.forward(cache, tokenIds, hiddenStates),
          ),
        ),
      close: async () => {},
    },
  };
}
