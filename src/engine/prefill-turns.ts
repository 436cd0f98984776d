/** A prompt, turn by turn, up to the first token that is decided behind it. */
import { UNDECIDED, type DecodingState } from '../decoding/decoding-state.ts';
import { prefill, type PrefillChunk } from '../decoding/prefill.ts';
import { decidedToken } from './decided-tokens.ts';
import type { JointPrefill } from './joint-prefill.ts';
import type { DecidedToken, GenerateJob } from './protocol.ts';
import type { TurnKind } from './scheduler.ts';
import type { WorkerContext } from './worker-context.ts';

/** A turn per prompt chunk, the last one left to the caller. */
export async function* prefillTurns(
  id: number,
  job: GenerateJob,
  state: DecodingState,
  joint: JointPrefill,
  context: WorkerContext,
): AsyncGenerator<TurnKind, { readonly token: DecidedToken; readonly prefillSeconds: number }, void> {
  const { vocabSize } = state.target;
  const { clock } = state;
  const start = clock.seconds;
  let lastRow: Float32Array = new Float32Array(0);
  await joint.beforeChunk();
  for await (const chunk of prefill(state, job.promptTokenIds, job.openEnd)) {
    if (job.promptLogprobs) {
      const { firstIndex, tokens } = scorePrompt(job, chunk, vocabSize);
      context.post({ type: 'prompt-scored', id, firstIndex, tokens });
    }
    const isLast = state.nextTokenId !== UNDECIDED;
    await joint.afterChunk(isLast);
    if (isLast) {
      lastRow = chunk.logits.subarray(chunk.logits.length - vocabSize);
    } else {
      yield 'alone';
      await joint.beforeChunk();
    }
  }
  const token = decidedToken(job, state.nextTokenId, false, lastRow);
  return { token, prefillSeconds: clock.seconds - start - joint.draftSeconds };
}

/** Log probabilities of the prompt tokens that this chunk's rows predict. */
function scorePrompt(
  job: GenerateJob,
  chunk: PrefillChunk,
  vocabSize: number,
): { readonly firstIndex: number; readonly tokens: DecidedToken[] } {
  const firstIndex = chunk.firstPosition + 1;
  const predicted = job.promptTokenIds.slice(firstIndex, firstIndex + chunk.tokenIds.length);
  const tokens = predicted.map((tokenId, row) =>
    decidedToken(job, tokenId, false, chunk.logits.subarray(row * vocabSize, (row + 1) * vocabSize)),
  );
  return { firstIndex, tokens };
}
