/** Log probabilities of the target's own distribution, before temperature, truncation and penalties. */

import { LogitsScan, NO_BOUND } from './logits-scan.ts';

/** log(sum(exp(logits))), to a millionth. logits: [vocabSize] */
export function logSumExp(logits: Float32Array): number {
  const scan = LogitsScan.holding(logits);
  const greatest = scan.greatest();
  return greatest + Math.log(scan.mass(1, greatest, NO_BOUND));
}

export interface RankedToken {
  readonly tokenId: number;
  readonly logprob: number;
}

export interface TokenLogprobs {
  /** Natural logarithm. */
  readonly logprob: number;
  /** The `count` most probable tokens, most probable first. */
  readonly top: readonly RankedToken[];
}

/** Log probability of `tokenId`, and the most probable alternatives. logits: [vocabSize] */
export function tokenLogprobs(logits: Float32Array, tokenId: number, count: number): TokenLogprobs {
  const normaliser = logSumExp(logits);
  const top: RankedToken[] = [];
  for (let candidate = 0; candidate < logits.length; candidate += 1) {
    if (count === 0) break;
    const logprob = logits[candidate]! - normaliser;
    if (top.length === count && logprob <= top[count - 1]!.logprob) continue;
    let place = top.length;
    while (place > 0 && top[place - 1]!.logprob < logprob) place -= 1;
    top.splice(place, 0, { tokenId: candidate, logprob });
    if (top.length > count) top.pop();
  }
  return { logprob: logits[tokenId]! - normaliser, top };
}
