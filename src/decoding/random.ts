/**
 * Counter-based noise: a pure function of seed, position and token id, so that whoever draws it, target or draft,
 * in whatever order, draws the same. Knows nothing of logits.
 */

const TWO_POW_32 = 4294967296;

/** A bijective 32-bit mixer (the "lowbias32" constants of C. Wellons, hash-prospector). */
function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return x ^ (x >>> 16);
}

/** The key of all noise at one position of one sequence. Mixed twice, lest neighbouring seeds share noise. */
export function positionKey(seed: number, position: number): number {
  return mix(mix(seed ^ 0x9e3779b9) + Math.imul(position, 0x85ebca6b));
}

/** 32 random bits for a token id under a position's key, as a signed integer. */
export function tokenBits(key: number, tokenId: number): number {
  return keyedBits(key, tokenKey(tokenId));
}

/** `tokenBits` of the token id that has `ofToken` in `tokenKeys`. */
function keyedBits(key: number, ofToken: number): number {
  return mix(key ^ ofToken);
}

const tokenKey = (tokenId: number): number => mix(Math.imul(tokenId + 1, 0x9e3779b9));

let knownKeys = new Int32Array(0);

/** By token id, `vocabSize` of them or more: what of its bits no key changes. */
function tokenKeys(vocabSize: number): Int32Array {
  if (knownKeys.length < vocabSize)
    knownKeys = Int32Array.from({ length: vocabSize }, (_, tokenId) => tokenKey(tokenId));
  return knownKeys;
}

/** Standard Gumbel noise, -log(-log(u)) for u uniform in (0, 1), from 32 random bits. */
export function gumbel(bits: number): number {
  return -Math.log(-Math.log(((bits >>> 0) + 0.5) / TWO_POW_32));
}

/**
 * Bounds the noise without a logarithm: c leading one bits give u < 1 - 2^-(c+1), hence -log(u) > 2^-(c+1), and
 * `gumbel(bits)` is less than c + 1 times the logarithm of 2.
 */
export function leadingOnes(bits: number): number {
  return Math.clz32(~bits);
}

/** More than what rounding can do to a sum of some hundred bits. */
const ROUNDING_IN_BITS = 1e-9;

/** The greatest of values with noise. Beside the noise, as calls into another module would make it a fifth slower. */
export class NoisyMaximum {
  tokenId = 0;
  /** How far it leads over the next; Infinity where it is alone. */
  lead = Infinity;

  /** Of `values` [vocabSize] times `scale`, each with its `gumbel`, of which `leadingOnes` spares most the logarithms. */
  find(values: Float32Array | Float64Array, scale: number, key: number): void {
    const keys = tokenKeys(values.length);
    const scaleInBits = scale / Math.LN2;
    let best = 0;
    let bestValue = -Infinity;
    let nextValue = -Infinity;
    // What a value in bits and its leading ones must exceed together to come second.
    let leastInBits = -Infinity;
    for (let tokenId = 0; tokenId < values.length; tokenId += 1) {
      const bits = keyedBits(key, keys[tokenId]!);
      const value = values[tokenId]!;
      if (value * scaleInBits + leadingOnes(bits) <= leastInBits) continue;
      const noisy = value * scale + gumbel(bits);
      if (noisy > bestValue) {
        nextValue = bestValue;
        bestValue = noisy;
        best = tokenId;
      } else if (noisy > nextValue) nextValue = noisy;
      else continue;
      leastInBits = nextValue / Math.LN2 - 1 - ROUNDING_IN_BITS;
    }
    this.tokenId = best;
    this.lead = bestValue - nextValue;
  }
}
