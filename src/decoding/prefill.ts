/** Fills the target's cache with a prompt, in chunks, and decides the first token. Knows nothing of whose turn it is. */
import type { DecodingState } from './decoding-state.ts';

export interface PrefillChunk {
  /** Position of the chunk's first token. */
  readonly firstPosition: number;
  readonly tokenIds: readonly number[];
  /** [tokenIds.length, vocabSize]: row i predicts the token after tokenIds[i]; overwritten by the next forward. */
  readonly logits: Float32Array;
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
    const end = Math.min(firstPosition + target.maxWidth, promptTokenIds.length);
    const width = end - firstPosition;
    const tokenIds = promptTokenIds.slice(firstPosition, end);
    const { logits, hiddenStates } = await target.forward(cache, tokenIds);
    const successors = promptTokenIds.slice(firstPosition + 1, end + 1);
    if (end === promptTokenIds.length) {
      const lastRow = logits.subarray((width - 1) * target.vocabSize, width * target.vocabSize);
      state.nextTokenId = sampler.choose(lastRow, end);
      sampler.push(state.nextTokenId);
      successors.push(state.nextTokenId);
    }
    await drafter?.observe(successors, hiddenStates);
    yield { firstPosition, tokenIds, logits };
  }
}
