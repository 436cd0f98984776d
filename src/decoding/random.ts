/**
 * Counter-based noise: a pure function of seed, position and token id, so that whoever draws it, target or draft,
 * in whatever order, draws the same. Knows nothing of logits.
 */

const TWO_POW_32 = 4294967296;
const LN_2 = Math.LN2;

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
  return mix(key ^ mix(Math.imul(tokenId + 1, 0x9e3779b9)));
}

/** Standard Gumbel noise, -log(-log(u)) for u uniform in (0, 1), from 32 random bits. */
export function gumbel(bits: number): number {
  return -Math.log(-Math.log(((bits >>> 0) + 0.5) / TWO_POW_32));
}

/**
 * An upper bound of `gumbel(bits)` that needs no logarithm: c leading one bits give u < 1 - 2^-(c+1), hence
 * -log(u) > 2^-(c+1).
 */
export function gumbelBound(bits: number): number {
  return (Math.clz32(~bits) + 1) * LN_2;
}
