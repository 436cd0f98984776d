/** What is told of tokens that were decided, and whether they end the text. */
import { tokenLogprobs } from '../decoding/logprobs.ts';
import type { Round } from '../decoding/speculative.ts';
import type { FinishReason } from '../metrics/engine-observer.ts';
import type { DecidedToken, GenerateJob } from './protocol.ts';

export function decidedTokens(
  job: GenerateJob,
  round: Round,
  numTokens: number,
  vocabSize: number,
): DecidedToken[] {
  return round.tokenIds
    .slice(0, numTokens)
    .map((tokenId, row) =>
      decidedToken(
        job,
        tokenId,
        row < round.numAccepted,
        round.logits.subarray(row * vocabSize, (row + 1) * vocabSize),
      ),
    );
}

export function decidedToken(
  job: GenerateJob,
  tokenId: number,
  isDraft: boolean,
  logits: Float32Array,
): DecidedToken {
  if (job.numTopLogprobs === null) return { tokenId, isDraft };
  const { logprob, top } = tokenLogprobs(logits, tokenId, job.numTopLogprobs);
  return { tokenId, isDraft, logprob, top };
}

/** Number of tokens up to and with the first end of text. */
export function endOfText(
  job: GenerateJob,
  eosTokenIds: readonly number[],
  tokenIds: readonly number[],
): number {
  const index = job.ignoreEos ? -1 : tokenIds.findIndex((tokenId) => eosTokenIds.includes(tokenId));
  return index === -1 ? tokenIds.length : index + 1;
}

export function finishReason(
  job: GenerateJob,
  eosTokenIds: readonly number[],
  lastTokenId: number,
  numGenerated: number,
): FinishReason | null {
  if (!job.ignoreEos && eosTokenIds.includes(lastTokenId)) return 'stop';
  return numGenerated >= job.maxTokens ? 'length' : null;
}
