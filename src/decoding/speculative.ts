/**
 * THE ROUND: draft, verify in one forward, accept, rewind. With no drafts it is decoding without speculation.
 * Knows nothing of text, HTTP or ONNX.
 */
import { acceptDrafts } from './acceptance.ts';
import type { DecodingState } from './decoding-state.ts';
import type { DraftedRound } from './draft-length.ts';
import type { DraftPlan } from './draft-plan.ts';

export interface Round extends DraftedRound {
  /** The decided tokens: accepted drafts, then the recovered or bonus token. At least one. */
  readonly tokenIds: readonly number[];
  readonly draftSeconds: number;
  readonly verifySeconds: number;
  readonly sampleSeconds: number;
  /** Part of sampleSeconds: choosing the drafts. */
  readonly draftChooseSeconds: number;
  /** Part of sampleSeconds: choosing one decided token from its logits, on average. */
  readonly chooseSeconds: number;
  /** [tokenIds.length, vocabSize]: what decided the tokens; overwritten by the next forward. */
  readonly logits: Float32Array;
}

/**
 * Loop invariant: on entry the target's cache holds positions 0..L-1; `nextTokenId` is predicted for L and not yet
 * cached; the drafter has observed it, with the target's hidden state at L-1 that produced it.
 */
export async function decodeRound(state: DecodingState, plan: DraftPlan): Promise<Round> {
  const { clock, target, cache, sampler, drafter } = state;
  const contextLength = cache.length;
  let sampleSeconds = 0;

  const draftStart = clock.seconds;
  let drafts = [...plan.ready];
  const margins: number[] = [];
  if (drafter !== null && drafts.length === 0 && plan.wantsAnother(margins)) {
    drafts = await drafter.draft(
      () => plan.wantsAnother(margins),
      (logits, index) => {
        const start = clock.seconds;
        const tokenId = sampler.choose(logits, contextLength + 1 + index);
        sampler.push(tokenId);
        margins.push(sampler.margin);
        sampleSeconds += clock.seconds - start;
        return tokenId;
      },
    );
    sampler.pop(drafts);
  }
  const numDrafted = margins.length;
  const firstLeftOut = numDrafted > 0 ? drafts.splice(plan.numToVerify(margins))[0] : undefined;
  const draftChooseSeconds = sampleSeconds;
  const draftSeconds = clock.seconds - draftStart - draftChooseSeconds;

  const verifyStart = clock.seconds;
  const { logits, hiddenStates } = await target.forward(cache, [state.nextTokenId, ...drafts]);
  const verifySeconds = clock.seconds - verifyStart;

  const acceptStart = clock.seconds;
  const verdict = acceptDrafts(drafts, logits, sampler, contextLength + 1, target.vocabSize);
  const numDecided = verdict.tokenIds.length;
  const isAllAccepted = verdict.numAccepted === drafts.length;
  const chooseSeconds = (clock.seconds - acceptStart) / numDecided;
  cache.rewindTo(contextLength + numDecided);
  await drafter?.observe(verdict.tokenIds, hiddenStates.subarray(0, numDecided * target.hiddenSize));
  state.nextTokenId = verdict.tokenIds.at(-1)!;
  sampleSeconds += clock.seconds - acceptStart;

  return {
    tokenIds: verdict.tokenIds,
    numDraftTokens: drafts.length,
    numDrafted,
    matchLength: plan.matchLength,
    isEarlier: plan.isEarlier,
    margins,
    numAccepted: verdict.numAccepted,
    numRight: verdict.numAccepted + Number(isAllAccepted && firstLeftOut === state.nextTokenId),
    targetMargins: verdict.targetMargins,
    contextLength,
    draftSeconds,
    verifySeconds,
    sampleSeconds,
    draftChooseSeconds,
    chooseSeconds,
    logits: logits.subarray(0, numDecided * target.vocabSize),
  };
}
