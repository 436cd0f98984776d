/**
 * Chooses tokens from logits. At temperature 0 the greatest logit wins; above it Gumbel-max with noise keyed by
 * seed, position and token id ("drafter-invariant" speculative decoding, Daliri et al. 2024, arXiv 2408.07978): the
 * choice is a pure function of logits, parameters, history and position, so target and draft agree where their
 * logits do, and the text never depends on speculation. Knows nothing of models.
 */
import { isStricter, LogitsScan, NO_BOUND } from './logits-scan.ts';
import { positionKey } from './random.ts';
import type { SamplingParams } from './sampling-params.ts';
import { isTruncating, Truncation } from './truncation.ts';

/** Below it a temperature is 0, as in vLLM (_SAMPLING_EPS): no noise could change the choice. */
const LEAST_TEMPERATURE = 1e-5;

/** One sequence's sampler: parameters, and the history that penalties look at. */
export class Sampler {
  private readonly params: SamplingParams;
  private readonly isGreedy: boolean;
  private readonly isTruncating: boolean;
  private readonly isAdjusting: boolean;
  private readonly promptTokenIds: ReadonlySet<number>;
  /** By token id, how often it was generated: those of the prompt, and those generated. */
  private readonly numGenerated: Map<number, number>;
  /**
   * How far the latest choice led over the next best token, in nats, noise included: the target chooses the same unless
   * its logits differ by more. Infinity where nothing else could be chosen.
   */
  margin = Infinity;

  constructor(params: SamplingParams, promptTokenIds: readonly number[]) {
    this.params = params;
    this.isGreedy = params.temperature < LEAST_TEMPERATURE;
    this.isTruncating = isTruncating(params);
    this.isAdjusting =
      params.presencePenalty !== 0 ||
      params.frequencyPenalty !== 0 ||
      params.repetitionPenalty !== 1 ||
      params.logitBias.size > 0;
    this.promptTokenIds = new Set(this.isAdjusting ? promptTokenIds : []);
    this.numGenerated = new Map([...this.promptTokenIds].map((tokenId) => [tokenId, 0]));
  }

  /** Adds a token to the history. */
  push(tokenId: number): void {
    if (this.isAdjusting) this.numGenerated.set(tokenId, (this.numGenerated.get(tokenId) ?? 0) + 1);
  }

  /** Takes back tokens that were pushed only to draft on. */
  pop(tokenIds: readonly number[]): void {
    if (!this.isAdjusting) return;
    for (const tokenId of tokenIds) {
      const count = this.numGenerated.get(tokenId)! - 1;
      if (count > 0 || this.promptTokenIds.has(tokenId)) this.numGenerated.set(tokenId, count);
      else this.numGenerated.delete(tokenId);
    }
  }

  /** The token at `position` of the sequence. logits: [vocabSize], left as they are. */
  choose(logits: Float32Array, position: number): number {
    const scan = LogitsScan.holding(logits);
    if (this.isAdjusting) this.adjust(scan.logits);
    if (this.isGreedy) scan.findGreatest();
    else this.findSampled(scan, positionKey(this.params.seed, position));
    this.margin = scan.lead;
    return scan.tokenId;
  }

  /** As `choose`, one of `tokenIds`. */
  chooseAmong(tokenIds: readonly number[], logits: Float32Array, position: number): number {
    const masked = new Float32Array(logits.length).fill(-Infinity);
    for (const tokenId of tokenIds) masked[tokenId] = logits[tokenId]!;
    return this.choose(masked, position);
  }

  private findSampled(scan: LogitsScan, key: number): void {
    const scale = 1 / this.params.temperature;
    if (!this.isTruncating) {
      scan.findNoisy(scale, key, NO_BOUND);
      return;
    }
    const truncation = new Truncation(scan, this.params);
    scan.findNoisy(scale, key, truncation.bound);
    // Who leads among many leads among those that remain, if it is one of them; if not, none behind it is.
    for (let last = lessProbable(scan); !truncation.keeps(last); last = lessProbable(scan))
      scan.findNoisy(scale, key, scan.boundAt(last));
  }

  /** Penalties as in vLLM: repetition over prompt and output, presence and frequency over the output; then bias. */
  private adjust(logits: Float32Array): void {
    const { presencePenalty, frequencyPenalty, repetitionPenalty, logitBias } = this.params;
    for (const [tokenId, count] of this.numGenerated) {
      const logit = logits[tokenId]!;
      const repeated = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
      logits[tokenId] = count > 0 ? repeated - presencePenalty - frequencyPenalty * count : repeated;
    }
    for (const [tokenId, bias] of logitBias) logits[tokenId]! += bias;
  }
}

/** Of the two that a scan found. */
function lessProbable(scan: LogitsScan): number {
  const { tokenId, nextTokenId } = scan;
  if (nextTokenId === -1) return tokenId;
  return isStricter(scan.boundAt(nextTokenId), scan.boundAt(tokenId)) ? tokenId : nextTokenId;
}
