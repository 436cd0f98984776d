/**
 * Passes over the logits of a vocabulary, four tokens at a time, in WebAssembly (logits-scan.wat): what they come to, which
 * tokens lead, with noise. Knows nothing of what is asked of a sampler.
 */
import { LOGITS_SCAN_WASM } from './logits-scan-wasm.ts';
import { gumbel, keyedBits, tokenKey } from './random.ts';

/**
 * Tokens in order of their logits, equals in order of their ids, are before it where their logit is greater than `value`, or
 * equal and their id less than `tokenId`.
 */
export interface Bound {
  readonly value: number;
  readonly tokenId: number;
}

/** Before it is every token that is not forbidden (-Infinity). */
export const NO_BOUND: Bound = { value: -Infinity, tokenId: 0 };

/** Whether what is before `one` is less than what is before `other`. */
export function isStricter(one: Bound, other: Bound): boolean {
  return one.value > other.value || (one.value === other.value && one.tokenId < other.tokenId);
}

/** As `tokenId` of a bound: behind all tokens of its value. */
export const BEHIND_ALL = 2 ** 31 - 1;

interface Passes {
  greatest(end: number): number;
  count(end: number, value: number): number;
  mass(end: number, scale: number, greatest: number, value: number, tokenId: number): number;
  lead(end: number): void;
  screen(end: number, keys: number, key: number, scale: number, value: number, tokenId: number): void;
}

const LANES = 4;
const BYTES = 4; // of a logit, and of a key
const PAGE_BYTES = 2 ** 16;
const LN2 = Math.LN2;

const filledUp = (vocabSize: number): number => Math.ceil(vocabSize / LANES) * LANES;

let compiled: WebAssembly.Module | undefined;
let scan: LogitsScan | undefined;

export class LogitsScan {
  /** [vocabSize], of the latest `holding`; may be changed. */
  logits: Float32Array;
  /** The token that a search found; 0 where there was none. */
  tokenId = 0;
  /** The one that came second; -1 where there was none. */
  nextTokenId = -1;
  /** How far the first leads over the second, in nats, with the noise of `findNoisy`; Infinity where it is alone. */
  lead = Infinity;

  private readonly floats: Float32Array; // [capacity], behind the vocabulary -Infinity up to a multiple of four
  private readonly keys: Int32Array; // [capacity], `tokenKey`s
  private readonly passes: Passes;
  private end = 0;
  // Of the search under way.
  private isNoisy = false;
  private scale = 1;
  private key = 0;
  private bestValue = -Infinity;
  private nextValue = -Infinity;

  private constructor(vocabSize: number) {
    const capacity = filledUp(vocabSize);
    const memory = new WebAssembly.Memory({ initial: Math.ceil((2 * capacity * BYTES) / PAGE_BYTES) });
    this.floats = new Float32Array(memory.buffer, 0, capacity);
    this.logits = this.floats;
    this.keys = new Int32Array(memory.buffer, capacity * BYTES, capacity);
    for (let tokenId = 0; tokenId < capacity; tokenId += 1) this.keys[tokenId] = tokenKey(tokenId);
    compiled ??= new WebAssembly.Module(Buffer.from(LOGITS_SCAN_WASM, 'base64'));
    const env = { memory, consider: (tokenId: number) => this.consider(tokenId) };
    this.passes = new WebAssembly.Instance(compiled, { env }).exports as unknown as Passes;
  }

  /** The thread's only one, with a copy of these logits [vocabSize]: valid until it is asked for again. */
  static holding(logits: Float32Array): LogitsScan {
    if (scan === undefined || scan.floats.length < logits.length) scan = new LogitsScan(logits.length);
    scan.hold(logits);
    return scan;
  }

  /** The greatest logit. */
  greatest(): number {
    return this.passes.greatest(this.end);
  }

  /** How many logits exceed `value`. */
  count(value: number): number {
    return this.passes.count(this.end, value);
  }

  /** The sum of exp((logit - greatest) * scale) over the tokens before the bound. */
  mass(scale: number, greatest: number, { value, tokenId }: Bound): number {
    return this.passes.mass(this.end, scale / LN2, greatest, value, tokenId);
  }

  /** Finds the greatest logit and the next; of equals the lower id comes first. */
  findGreatest(): void {
    this.begin(false, 1, 0);
    this.passes.lead(this.end);
    this.lead = this.bestValue - this.nextValue;
  }

  /** Finds, among the tokens before the bound, the greatest of logit times scale and `gumbel` under the key, and the next. */
  findNoisy(scale: number, key: number, { value, tokenId }: Bound): void {
    this.begin(true, scale, key);
    this.passes.screen(this.end, this.keys.byteOffset, key, scale / LN2, value, tokenId);
    this.lead = this.bestValue - this.nextValue;
  }

  boundAt(tokenId: number): Bound {
    return { value: this.logits[tokenId]!, tokenId };
  }

  private hold(logits: Float32Array): void {
    const { length } = logits;
    if (this.logits.length !== length) this.logits = this.floats.subarray(0, length);
    this.logits.set(logits);
    this.floats.fill(-Infinity, length, filledUp(length));
    this.end = filledUp(length) * BYTES;
  }

  private begin(isNoisy: boolean, scale: number, key: number): void {
    this.isNoisy = isNoisy;
    this.scale = scale;
    this.key = key;
    this.tokenId = 0;
    this.nextTokenId = -1;
    this.bestValue = -Infinity;
    this.nextValue = -Infinity;
  }

  /** Called back for the few tokens that may come first or second; returns what others must exceed. */
  private consider(tokenId: number): number {
    const logit = this.logits[tokenId]!;
    const value = this.isNoisy
      ? logit * this.scale + gumbel(keyedBits(this.key, this.keys[tokenId]!))
      : logit;
    if (value > this.bestValue) {
      this.nextValue = this.bestValue;
      this.nextTokenId = this.bestValue === -Infinity ? -1 : this.tokenId;
      this.bestValue = value;
      this.tokenId = tokenId;
    } else if (value > this.nextValue) {
      this.nextValue = value;
      this.nextTokenId = tokenId;
    }
    if (!this.isNoisy || this.nextValue === -Infinity) return this.nextValue;
    const inBits = this.nextValue / LN2;
    // The bound is 158 less a float's bits; then more than what f32 can round off on the way.
    return inBits - 158 - 1e-3 - 1e-6 * Math.abs(inBits);
  }
}
