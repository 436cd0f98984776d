/**
 * Chooses tokens from logits. At temperature 0 the greatest logit wins; above it Gumbel-max with noise keyed by
 * seed, position and token id ("drafter-invariant" speculative decoding, Daliri et al. 2024, arXiv 2408.07978): the
 * choice is a pure function of logits, parameters, history and position, so target and draft agree where their
 * logits do, and the text never depends on speculation. Knows nothing of models.
 */
import { gumbel, NoisyMaximum, positionKey, tokenBits } from './random.ts';
import type { SamplingParams } from './sampling-params.ts';
import { isTruncating, remainingTokens } from './truncation.ts';

/** Index of the greatest value; the lowest on a tie. */
export function argmax(values: Float32Array | Float64Array): number {
  let best = 0;
  let bestValue = values[0]!;
  for (let index = 1; index < values.length; index += 1) {
    const value = values[index]!;
    if (value > bestValue) {
      bestValue = value;
      best = index;
    }
  }
  return best;
}

/** One sequence's sampler: parameters, and the history that penalties look at. */
export class Sampler {
  private readonly params: SamplingParams;
  private readonly isAdjusting: boolean;
  private readonly isTruncating: boolean;
  private readonly isInPrompt: Uint8Array; // [vocabSize]
  private readonly numGenerated: Uint32Array; // [vocabSize]
  private readonly scratch: Float64Array; // [vocabSize]
  private readonly maximum = new NoisyMaximum();
  /**
   * How far the latest choice led over the next best token, in nats, noise included: the target chooses the same unless
   * its logits differ by more. Infinity where nothing else could be chosen.
   */
  margin = Infinity;

  constructor(params: SamplingParams, promptTokenIds: readonly number[], vocabSize: number) {
    this.params = params;
    this.isTruncating = params.temperature > 0 && isTruncating(params);
    this.isAdjusting =
      params.presencePenalty !== 0 ||
      params.frequencyPenalty !== 0 ||
      params.repetitionPenalty !== 1 ||
      params.logitBias.size > 0;
    this.isInPrompt = new Uint8Array(this.isAdjusting ? vocabSize : 0);
    this.numGenerated = new Uint32Array(this.isAdjusting ? vocabSize : 0);
    this.scratch = new Float64Array(this.isAdjusting || this.isTruncating ? vocabSize : 0);
    if (this.isAdjusting) for (const tokenId of promptTokenIds) this.isInPrompt[tokenId] = 1;
  }

  /** Adds a token to the history. */
  push(tokenId: number): void {
    if (this.isAdjusting) this.numGenerated[tokenId]! += 1;
  }

  /** Takes back tokens that were pushed only to draft on. */
  pop(tokenIds: readonly number[]): void {
    if (this.isAdjusting) for (const tokenId of tokenIds) this.numGenerated[tokenId]! -= 1;
  }

  /** The token at `position` of the sequence. logits: [vocabSize], left as they are. */
  choose(logits: Float32Array, position: number): number {
    const adjusted = this.isAdjusting ? this.adjust(logits) : logits;
    const { temperature } = this.params;
    if (temperature === 0) return this.chooseGreatest(adjusted);
    const key = positionKey(this.params.seed, position);
    return this.isTruncating ? this.chooseTruncated(adjusted, key) : this.chooseSampled(adjusted, key);
  }

  /** As `choose`, one of `tokenIds`. */
  chooseAmong(tokenIds: readonly number[], logits: Float32Array, position: number): number {
    const masked = new Float32Array(logits.length).fill(-Infinity);
    for (const tokenId of tokenIds) masked[tokenId] = logits[tokenId]!;
    return this.choose(masked, position);
  }

  /** As `argmax`, with the margin; four at a time, of which few have one to look at. */
  private chooseGreatest(values: Float32Array | Float64Array): number {
    const { length } = values;
    let best = 0;
    let bestValue = -Infinity;
    let nextValue = -Infinity;
    for (let start = 0; start < length; start += 4) {
      const end = start + 4;
      if (
        end <= length &&
        values[start]! <= nextValue &&
        values[start + 1]! <= nextValue &&
        values[start + 2]! <= nextValue &&
        values[start + 3]! <= nextValue
      )
        continue;
      for (let tokenId = start; tokenId < Math.min(end, length); tokenId += 1) {
        const value = values[tokenId]!;
        if (value > bestValue) {
          nextValue = bestValue;
          bestValue = value;
          best = tokenId;
        } else if (value > nextValue) nextValue = value;
      }
    }
    this.margin = bestValue - nextValue;
    return best;
  }

  private chooseSampled(adjusted: Float32Array | Float64Array, key: number): number {
    const { maximum } = this;
    maximum.find(adjusted, 1 / this.params.temperature, key);
    this.margin = maximum.lead;
    return maximum.tokenId;
  }

  private chooseTruncated(adjusted: Float32Array | Float64Array, key: number): number {
    const { scratch } = this;
    const scale = 1 / this.params.temperature;
    for (let tokenId = 0; tokenId < adjusted.length; tokenId += 1)
      scratch[tokenId] = adjusted[tokenId]! * scale;
    let best = 0;
    let bestValue = -Infinity;
    let nextValue = -Infinity;
    for (const tokenId of remainingTokens(scratch, this.params)) {
      const value = scratch[tokenId]! + gumbel(tokenBits(key, tokenId));
      if (value > bestValue) {
        nextValue = bestValue;
        bestValue = value;
        best = tokenId;
      } else if (value > nextValue) nextValue = value;
    }
    this.margin = bestValue - nextValue;
    return best;
  }

  /** Penalties as in vLLM: repetition over prompt and output, presence and frequency over the output; then bias. */
  private adjust(logits: Float32Array): Float64Array {
    const { scratch, numGenerated, isInPrompt } = this;
    const { presencePenalty, frequencyPenalty, repetitionPenalty, logitBias } = this.params;
    for (let tokenId = 0; tokenId < logits.length; tokenId += 1) {
      let logit = logits[tokenId]!;
      const count = numGenerated[tokenId]!;
      if (count > 0 || isInPrompt[tokenId] === 1)
        logit = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
      if (count > 0) logit -= presencePenalty + frequencyPenalty * count;
      scratch[tokenId] = logit;
    }
    for (const [tokenId, bias] of logitBias) scratch[tokenId]! += bias;
    return scratch;
  }
}
