/** Compares drafts with the target's own choices. Knows nothing of how either was made. */
import type { Sampler } from './sampler.ts';

export interface Verdict {
  /** The tokens that the round decides: the accepted drafts, then the recovered or bonus token. */
  readonly tokenIds: number[];
  readonly numAccepted: number;
  /** [tokenIds.length]: how far each led over the next best token (Sampler.margin). */
  readonly targetMargins: readonly number[];
}

/**
 * Chooses at every position until a draft is not what the target chooses.
 * logits: [>= drafts.length + 1, vocabSize]; row i decides the token at `firstPosition + i`. The sampler's history
 * grows by the decided tokens.
 */
export function acceptDrafts(
  drafts: readonly number[],
  logits: Float32Array,
  sampler: Sampler,
  firstPosition: number,
  vocabSize: number,
): Verdict {
  const tokenIds: number[] = [];
  const targetMargins: number[] = [];
  for (let row = 0; row <= drafts.length; row += 1) {
    const choice = sampler.choose(
      logits.subarray(row * vocabSize, (row + 1) * vocabSize),
      firstPosition + row,
    );
    sampler.push(choice);
    tokenIds.push(choice);
    targetMargins.push(sampler.margin);
    if (choice !== drafts[row]) break;
  }
  return { tokenIds, numAccepted: tokenIds.length - 1, targetMargins };
}
