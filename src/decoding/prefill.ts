/** Fills the target's cache with a prompt, in chunks, and decides the first token. Knows nothing of whose turn it is. */
import { MIN_DECIDING_WIDTH } from '../model/target-model.ts';
import { PADDING_TOKEN_ID, type DecodingState } from './decoding-state.ts';

export interface PrefillChunk {
  /** Position of the chunk's first token. */
  readonly firstPosition: number;
  readonly tokenIds: readonly number[];
  /** [tokenIds.length, vocabSize]: row i predicts the token after tokenIds[i]; overwritten by the next forward. */
  readonly logits: Float32Array;
}

/**
 * How many of `numLeft` prompt tokens the next chunk takes. No chunk is a single token, as that would be computed by
 * another kernel (MIN_DECIDING_WIDTH), unless the prompt is.
 */
export function chunkWidth(numLeft: number, maxWidth: number): number {
  const width = Math.min(numLeft, maxWidth);
  return numLeft - width === 1 && width > MIN_DECIDING_WIDTH ? width - 1 : width;
}

/** Yields after every chunk. When it ends, the first token is decided and the invariant of a round holds. */
export async function* prefill(
  state: DecodingState,
  promptTokenIds: readonly number[],
): AsyncGenerator<PrefillChunk, void, void> {
  const { target, cache, sampler, drafter } = state;
  // Invariant: the cache holds the prompt's first cache.length tokens.
  while (cache.length < promptTokenIds.length) {
    const firstPosition = cache.length;
    const width = chunkWidth(promptTokenIds.length - firstPosition, target.maxWidth);
    const end = firstPosition + width;
    const tokenIds = promptTokenIds.slice(firstPosition, end);
    const padding = Array.from({ length: MIN_DECIDING_WIDTH - width }, () => PADDING_TOKEN_ID);
    const { logits, hiddenStates } = await target.forward(cache, [...tokenIds, ...padding]);
    cache.rewindTo(end);
    const successors = promptTokenIds.slice(firstPosition + 1, end + 1);
    if (end === promptTokenIds.length) {
      const lastRow = logits.subarray((width - 1) * target.vocabSize, width * target.vocabSize);
      state.nextTokenId = sampler.choose(lastRow, end);
      sampler.push(state.nextTokenId);
      successors.push(state.nextTokenId);
    }
    await drafter?.observe(successors, hiddenStates.subarray(0, width * target.hiddenSize));
    yield { firstPosition, tokenIds, logits: logits.subarray(0, width * target.vocabSize) };
  }
}
