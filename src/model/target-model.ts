/** What decoding needs of a model. Knows nothing of ONNX: a scripted fake implements it as well. */

/** Key and value entries of one sequence in one model. Positions beyond `length` are free to be overwritten. */
export interface KvCache {
  /** Positions held, 0 .. length - 1. */
  readonly length: number;
  readonly capacity: number;
  /** Forgets everything from position `length` on; costs nothing. */
  rewindTo(length: number): void;
  /** Claims `length` positions, to measure what a step costs there: what they hold does not matter then. */
  pretendLength(length: number): void;
  /** Copies positions length .. numPositions - 1 of `source`, which is of the same model and of the same tokens up to there. */
  extendFrom(source: KvCache, numPositions: number): void;
}

/** Hands out the caches of one model; each must come back exactly once. */
export interface KvCachePool {
  /** Caches handed out and not given back. */
  readonly numInUse: number;
  /** Bytes of caches that were given back and wait to be handed out again. */
  readonly freeBytes: number;
  /** An empty cache with room for at least `numPositions`. */
  take(numPositions: number): KvCache;
  giveBack(cache: KvCache): void;
  /** Leaves to the garbage collector what is free beyond `numBytes`. */
  trimFree(numBytes: number): void;
}

/** Views into buffers that the next forward of the same model overwrites. */
export interface TargetOutput {
  readonly logits: Float32Array; // [numTokens, vocabSize]
  readonly hiddenStates: Float32Array; // [numTokens, hiddenSize], after the final norm
}

/** The model whose output must be preserved. */
export interface TargetModel {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Most tokens one forward takes. */
  readonly maxWidth: number;
  /**
   * Runs `tokenIds` at positions cache.length onwards, and appends them to the cache. At most one further position
   * is overwritten. Results do not depend on how many tokens a forward takes.
   */
  forward(cache: KvCache, tokenIds: readonly number[]): Promise<TargetOutput>;
  /** The same at exactly the width of `tokenIds`: never slower, but results may depend on the width. */
  forwardAtWidth(cache: KvCache, tokenIds: readonly number[]): Promise<TargetOutput>;
  close(): Promise<void>;
}

/**
 * How many tokens a forward may have that decides a token or fills the target's cache: at least `least`, and a multiple of
 * `multiple`. ONNX Runtime's kernels can compute a single row in another order than several, or the last row of an odd
 * number. Keeping to widths that give the same bits is what makes the text independent of speculation, chunking
 * and depth.
 */
export interface ExactWidths {
  readonly least: 1 | 2;
  readonly multiple: 1 | 2;
}

/** Fills up a forward to its deciding width; its entry is overwritten. */
export const PADDING_TOKEN_ID = 0;

export function decidingWidth(numTokens: number, { least, multiple }: ExactWidths): number {
  return Math.max(least, Math.ceil(numTokens / multiple) * multiple);
}

/** `tokenIds`, filled up to their deciding width. */
export function padded(tokenIds: readonly number[], widths: ExactWidths): readonly number[] {
  const numPadding = decidingWidth(tokenIds.length, widths) - tokenIds.length;
  if (numPadding === 0) return tokenIds;
  return [...tokenIds, ...Array<number>(numPadding).fill(PADDING_TOKEN_ID)];
}

export interface MtpOutput {
  readonly logits: Float32Array; // [vocabSize], of the last position
  readonly hiddenStates: Float32Array; // [numTokens, hiddenSize]
}

/**
 * DeepSeek-V3's module (arXiv 2412.19437): from the hidden state at position i and the token at i + 1 it predicts the
 * token at i + 2; fed with its own hidden state it predicts further.
 */
export interface MtpModule {
  readonly maxWidth: number;
  /** hiddenStates: [tokenIds.length, hiddenSize] at positions i; tokenIds: the tokens at i + 1. */
  forward(cache: KvCache, tokenIds: readonly number[], hiddenStates: Float32Array): Promise<MtpOutput>;
  close(): Promise<void>;
}

/** One sequence's part of a pass that several share. */
export interface TargetPart {
  readonly cache: KvCache;
  readonly tokenIds: readonly number[];
}

export interface MtpPart extends TargetPart {
  readonly hiddenStates: Float32Array;
}

/** The target for exactly `numSequences` at once: their tokens go through each of its matrices together. */
export interface SharedTarget {
  readonly numSequences: number;
  /** Most tokens of one part. */
  readonly maxWidth: number;
  /** What `TargetModel.forward` gives for each part, bit for bit; views that the next forward of this object overwrites. */
  forward(parts: readonly TargetPart[]): Promise<TargetOutput[]>;
  /** The same at exactly the parts' widths. */
  forwardAtWidth(parts: readonly TargetPart[]): Promise<TargetOutput[]>;
  close(): Promise<void>;
}

/** The MTP module for as many. Its roundings may differ from those of `MtpModule`: it decides nothing. */
export interface SharedMtp {
  readonly maxWidth: number;
  forward(parts: readonly MtpPart[]): Promise<MtpOutput[]>;
  close(): Promise<void>;
}

/** Both models of a pass for several sequences. */
export interface SharedModels {
  readonly target: SharedTarget;
  /** Null for a model without an MTP module. */
  readonly mtp: SharedMtp | null;
}
