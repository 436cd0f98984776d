/**
 * top_k, top_p and min_p: which tokens may be chosen at all. Order as in vLLM: min_p, then top_k, then top_p over
 * what is left. Knows nothing of noise.
 */
import { BEHIND_ALL, isStricter, NO_BOUND, type Bound, type LogitsScan } from './logits-scan.ts';
import type { SamplingParams } from './sampling-params.ts';

export function isTruncating(params: SamplingParams): boolean {
  return params.topP < 1 || params.topK > 0 || params.minP > 0;
}

/** Of the logits that a scan holds; nothing is sorted. */
export class Truncation {
  /** Before it is what min_p and top_k leave: at least one token. */
  readonly bound: Bound;
  private readonly scan: LogitsScan;
  private readonly scale: number;
  private readonly greatest: number;
  /** Tokens before which there is as much as this have no part in top_p. */
  private readonly nucleusMass: number;

  constructor(scan: LogitsScan, { temperature, minP, topK, topP }: SamplingParams) {
    this.scan = scan;
    this.scale = 1 / temperature;
    this.greatest = scan.greatest();
    const { greatest } = this;
    const floor = Math.fround(greatest + Math.log(minP) * temperature);
    const ofMinP = minP > 0 ? { value: floor, tokenId: BEHIND_ALL } : NO_BOUND;
    this.bound = topK > 0 ? stricter(ofMinP, behindGreatest(scan, greatest, topK)) : ofMinP;
    this.nucleusMass = topP < 1 ? topP * scan.mass(this.scale, greatest, this.bound) : Infinity;
  }

  /** Whether top_p leaves a token that is before the bound. If not, it leaves none behind that token. */
  keeps(tokenId: number): boolean {
    if (this.nucleusMass === Infinity) return true;
    return this.scan.mass(this.scale, this.greatest, this.scan.boundAt(tokenId)) < this.nucleusMass;
  }
}

const stricter = (one: Bound, other: Bound): Bound => (isStricter(one, other) ? one : other);

/** The bound behind the `count` greatest. */
function behindGreatest(scan: LogitsScan, greatest: number, count: number): Bound {
  if (count >= scan.count(-Infinity)) return NO_BOUND;
  let width = 1;
  while (scan.count(greatest - width) < count) width *= 2;
  // Invariant: at least `count` logits exceed `low`, fewer exceed `high`.
  let low = Math.fround(greatest - width);
  let high = greatest;
  while (scan.count(low) !== count) {
    const middle = Math.fround((low + high) / 2);
    if (middle === low || middle === high) return behindEquals(scan, high, count);
    if (scan.count(middle) < count) high = middle;
    else low = middle;
  }
  return { value: low, tokenId: 0 };
}

/** As `behindGreatest`, which would part tokens with this logit: the lower ids are before it. */
function behindEquals(scan: LogitsScan, value: number, count: number): Bound {
  let tokenId = -1;
  for (let found = scan.count(value); found < count; found += 1)
    tokenId = scan.logits.indexOf(value, tokenId + 1);
  return { value, tokenId: tokenId + 1 };
}
