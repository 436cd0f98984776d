/** Fills the target's cache with a prompt, in chunks, and decides the first token. Knows nothing of whose turn it is. */
import type { DecodingState } from './decoding-state.ts';

export interface PrefillChunk {
  /** Position of the chunk's first token. */
  readonly firstPosition: number;
  readonly tokenIds: readonly number[];
  /** [tokenIds.length, vocabSize]: row i predicts the token after tokenIds[i]; overwritten by the next forward. */
  readonly logits: Float32Array;
}

/**
 * Yields after every chunk. When it ends, the first token is decided and the invariant of a round holds. `openEnd`: for
 * each of the prompt's last tokens, what else may stand in its place and end the prompt there. What the model prefers is
 * known from the forward over the prompt as it is: where that is another token, it is the first one, and the cache is
 * taken back.
 */
export async function* prefill(
  state: DecodingState,
  promptTokenIds: readonly number[],
  openEnd: readonly { readonly extensions: readonly number[] }[] = [],
): AsyncGenerator<PrefillChunk, void, void> {
  const { target, cache, sampler, drafter } = state;
  const numTokens = promptTokenIds.length;
  const numSettled = numTokens - openEnd.length;
  let isDecided = false;
  // Invariant: the cache holds the prompt's first cache.length tokens, less than those that are settled.
  while (!isDecided) {
    const firstPosition = cache.length;
    const end = Math.min(firstPosition + target.maxWidth, numTokens);
    const tokenIds = promptTokenIds.slice(firstPosition, end);
    const { logits, hiddenStates } = await target.forward(cache, tokenIds);
    const successors = promptTokenIds.slice(firstPosition + 1, end + 1);
    for (let position = Math.max(numSettled, firstPosition + 1); position <= end; position += 1) {
      const row = position - 1 - firstPosition;
      const rowLogits = logits.subarray(row * target.vocabSize, (row + 1) * target.vocabSize);
      const given = promptTokenIds[position];
      const tokenId =
        given === undefined
          ? sampler.choose(rowLogits, position)
          : sampler.chooseAmong([given, ...openEnd[position - numSettled]!.extensions], rowLogits, position);
      if (tokenId === given) continue;
      isDecided = true;
      state.nextTokenId = tokenId;
      sampler.push(tokenId);
      cache.rewindTo(position);
      successors.splice(row, Infinity, tokenId);
      break;
    }
    await drafter?.observe(successors, hiddenStates.subarray(0, successors.length * target.hiddenSize));
    yield { firstPosition, tokenIds, logits };
  }
}
