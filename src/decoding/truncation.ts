/**
 * top_k, top_p and min_p: which tokens may be chosen at all. Order as in vLLM: min_p, then top_k, then top_p over
 * what is left. Knows nothing of temperature or noise: it gets scaled logits.
 */
import type { SamplingParams } from './sampling-params.ts';

export function isTruncating(params: SamplingParams): boolean {
  return params.topP < 1 || params.topK > 0 || params.minP > 0;
}

/**
 * The token ids that remain, most probable first; ties in the order of ids. Never empty.
 * scaledLogits: [vocabSize], already divided by the temperature.
 */
export function remainingTokens(scaledLogits: Float64Array, params: SamplingParams): number[] {
  let max = -Infinity;
  for (const logit of scaledLogits) if (logit > max) max = logit;
  const floor = params.minP > 0 ? max + Math.log(params.minP) : -Infinity;
  let candidates: number[] = [];
  for (let tokenId = 0; tokenId < scaledLogits.length; tokenId += 1) {
    const logit = scaledLogits[tokenId]!;
    if (logit >= floor && logit > -Infinity) candidates.push(tokenId);
  }
  candidates.sort((a, b) => scaledLogits[b]! - scaledLogits[a]! || a - b);
  if (params.topK > 0 && params.topK < candidates.length) candidates = candidates.slice(0, params.topK);
  return params.topP < 1 ? nucleus(candidates, scaledLogits, max, params.topP) : candidates;
}

/** The shortest head of `candidates` whose probability, among all of them, reaches `topP`. */
function nucleus(candidates: number[], scaledLogits: Float64Array, max: number, topP: number): number[] {
  let total = 0;
  for (const tokenId of candidates) total += Math.exp(scaledLogits[tokenId]! - max);
  let covered = 0;
  for (let count = 0; count < candidates.length; count += 1) {
    covered += Math.exp(scaledLogits[candidates[count]!]! - max);
    if (covered >= topP * total) return candidates.slice(0, count + 1);
  }
  return candidates;
}
