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

/** What of a token's bits no position changes. */
export function tokenKey(tokenId: number): number {
  return mix(Math.imul(tokenId + 1, 0x9e3779b9));
}

/** 32 random bits for the token that has this `tokenKey`, under a position's key, as a signed integer. */
export function keyedBits(key: number, ofToken: number): number {
  return mix(key ^ ofToken);
}

/** `keyedBits` for a token id. */
export function tokenBits(key: number, tokenId: number): number {
  return keyedBits(key, tokenKey(tokenId));
}

/** Standard Gumbel noise, -log(-log(u)) for u uniform in (0, 1), from 32 random bits. */
export function gumbel(bits: number): number {
  return -Math.log(-Math.log(((bits >>> 0) + 0.5) / TWO_POW_32));
}
