/** One generate job, turn by turn: prefill chunks, then rounds. Its KV is not its own: whoever lent it takes it back. */
import { secondsSince, UNDECIDED, type DecodingState } from '../decoding/decoding-state.ts';
import { DraftLength } from '../decoding/draft-length.ts';
import { fixedDepth, noDrafts, type DraftPlan } from '../decoding/draft-plan.ts';
import { MtpDrafter } from '../decoding/mtp-drafter.ts';
import { NOTHING_FOUND, PromptLookup } from '../decoding/prompt-lookup.ts';
import { Sampler } from '../decoding/sampler.ts';
import { decodeRound, type Round } from '../decoding/speculative.ts';
import type { StepCosts } from '../decoding/step-costs.ts';
import type { DrafterName } from '../metrics/spec-decode-stats.ts';
import { decidingWidth } from '../model/target-model.ts';
import { decidedTokens, endOfText, finishReason } from './decided-tokens.ts';
import { JointPrefill } from './joint-prefill.ts';
import type { Lane } from './lane.ts';
import { HOLD_MS, LONG_HOLD_MS } from './outbox.ts';
import { NUM_QUIET_STEPS, NUM_TIMED_STEPS, NUM_WARM_UP_STEPS } from './plain-step-schedule.ts';
import { prefillTurns } from './prefill-turns.ts';
import { mayReuse, type GenerateJob } from './protocol.ts';
import type { Turns } from './scheduler.ts';
import type { SequenceKv } from './sequence-kv.ts';
import type { WorkerContext } from './worker-context.ts';

/** Begins behind what `kv` already holds of the prompt. */
export async function* generateTurns(
  id: number,
  job: GenerateJob,
  kv: SequenceKv,
  lane: Lane,
  context: WorkerContext,
): Turns {
  const { model, post } = context;
  const { clock, target, mtp } = lane;
  const cache = kv.target;
  const drafter =
    job.maxDraftTokens > 0 && mtp !== null && kv.mtp !== null
      ? new MtpDrafter(mtp, kv.mtp, target.hiddenSize)
      : null;
  const state: DecodingState = {
    clock,
    target,
    cache,
    sampler: new Sampler(job.sampling, job.promptTokenIds),
    drafter,
    nextTokenId: UNDECIDED,
  };
  const numSettled = mayReuse(job) ? job.promptTokenIds.length - job.openEnd.length : 0;
  const joint = new JointPrefill(context.kv, kv, job.promptTokenIds.slice(0, numSettled), drafter, clock);
  const first = yield* prefillTurns(id, job, state, joint, context);
  // The last ones may have given way.
  kv.tokenIds.splice(cache.length);
  kv.tokenIds.push(first.token.tokenId);
  let numGenerated = 1;
  let finish = finishReason(job, model.manifest.eosTokenIds, first.token.tokenId, numGenerated);
  post({
    type: 'request-prefilled',
    id,
    ...first,
    numReplacedTokens: job.promptTokenIds.length - cache.length,
    numQueriedTokens: mayReuse(job) ? job.promptTokenIds.length : 0,
    numCachedTokens: joint.numTakenOver,
    finish,
  });
  const draftLength = new DraftLength(context.acceptance.forSequence(), context.costs.of(1));
  const lookup =
    job.adaptive && job.maxDraftTokens > 0 ? new PromptLookup(target.vocabSize, kv.earlierText) : null;
  lookup?.push(kv.tokenIds);
  // A fixed depth is kept to.
  const servesPlainSteps = decidingWidth(1, model.widths) === 1 && (job.adaptive || job.maxDraftTokens === 0);
  let numPlainLeft = 0;
  let hasDrafted = false;
  // Drafting's share of the prefill is paid for with the first round, as if it had come with the first draft.
  let earlierDraftSeconds = joint.draftSeconds;
  // Posting a message is part of what a round costs; it can only be charged to the next one.
  let start = clock.seconds;
  while (finish === null) {
    yield job.sharesPasses ? 'together' : 'alone';
    const costs = context.costs.of(lane.numSharing, lane.isSolo);
    draftLength.useCosts(costs);
    if (context.plainSteps.isDue(hasDrafted)) {
      if (servesPlainSteps && lane.numSharing === 1) numPlainLeft = NUM_WARM_UP_STEPS + NUM_TIMED_STEPS;
      else await measurePlainSteps(state, context.costs.of(1, lane.isSolo));
    }
    const isPlain = numPlainLeft > 0 && lane.numSharing === 1;
    const maxDraftTokens = Math.min(job.maxDraftTokens, job.maxTokens - numGenerated - 1);
    const found = lookup?.find(maxDraftTokens) ?? NOTHING_FOUND;
    const plan = (): DraftPlan =>
      job.adaptive ? draftLength.plan(maxDraftTokens, cache.length, found) : fixedDepth(maxDraftTokens);
    const round = await decodeRound(state, isPlain ? noDrafts : plan());
    kv.tokenIds.push(...round.tokenIds);
    if (isPlain) {
      numPlainLeft -= 1;
      draftLength.passedOver();
      if (numPlainLeft < NUM_TIMED_STEPS) costs.observePlain(round.contextLength, round.verifySeconds);
    } else learn(round, draftLength, costs, context);
    hasDrafted = round.numDrafted > 0;
    lookup?.push(round.tokenIds);
    const numUntilEos = endOfText(job, model.manifest.eosTokenIds, round.tokenIds);
    const tokens = decidedTokens(job, round, numUntilEos, target.vocabSize);
    numGenerated += tokens.length;
    finish = finishReason(job, model.manifest.eosTokenIds, tokens.at(-1)!.tokenId, numGenerated);
    let baselineSeconds = 0;
    for (let index = 0; index < tokens.length; index += 1)
      baselineSeconds += costs.plainSeconds(round.contextLength + index) + round.chooseSeconds;
    const decodeSeconds = clock.seconds - start;
    start = clock.seconds;
    costs.observeRound(decodeSeconds - secondsOfDrafts(round) - round.verifySeconds);
    post(
      {
        type: 'tokens-decided',
        id,
        tokens,
        round: {
          numSharing: lane.numSharing,
          numDraftTokens: round.numDraftTokens,
          numAcceptedDraftTokens: Math.min(round.numAccepted, tokens.length),
          drafter: drafterOf(round),
          draftSeconds: round.draftSeconds + earlierDraftSeconds,
          verifySeconds: round.verifySeconds,
          sampleSeconds: round.sampleSeconds,
        },
        decodeSeconds: decodeSeconds + earlierDraftSeconds,
        baselineSeconds,
        finish,
      },
      job.tokensMayWait && finish === null ? holdMs(isPlain ? numPlainLeft : 0) : 0,
    );
    earlierDraftSeconds = 0;
  }
  // Nobody waits for this: the next prompt that begins like this sequence finds the module's cache as long as the target's.
  if (job.cachePrompt) await drafter?.flush();
}

function learn(
  round: Round,
  draftLength: DraftLength,
  costs: StepCosts,
  { acceptance }: WorkerContext,
): void {
  costs.observeVerify(round.numDraftTokens + 1, round.contextLength, round.verifySeconds);
  const { numPending } = draftLength;
  const seconds = secondsOfDrafts(round);
  // What the module has to catch up with once is not what drafting goes on to cost.
  if (round.numDrafted === 0) costs.observeNoDrafts();
  else if (numPending === 0) costs.observeDraft(round.numDrafted, seconds);
  else costs.observeCatchUp(numPending, Math.max(0, seconds - costs.draftSeconds(round.numDrafted)));
  draftLength.record(round);
  acceptance.record(round);
}

function drafterOf({ matchLength, isEarlier }: Round): DrafterName {
  if (matchLength === 0) return 'mtp';
  return isEarlier ? 'earlier_text' : 'prompt_lookup';
}

/** Choosing them included. */
const secondsOfDrafts = (round: Round): number => round.draftSeconds + round.draftChooseSeconds;

/** Of a message before so many plain steps: those that are timed meet none. */
function holdMs(numPlainToCome: number): number {
  if (numPlainToCome === NUM_QUIET_STEPS) return 0;
  return numPlainToCome > 0 && numPlainToCome < NUM_QUIET_STEPS ? LONG_HOLD_MS : HOLD_MS;
}

/** Keeps the baseline current where plain steps cannot be rounds: real ones, whose entries the next one overwrites. */
async function measurePlainSteps(state: DecodingState, costs: StepCosts): Promise<void> {
  const { cache, target } = state;
  const length = cache.length;
  for (let step = 0; step < NUM_WARM_UP_STEPS + NUM_TIMED_STEPS; step += 1) {
    const start = performance.now();
    await target.forwardAtWidth(cache, [state.nextTokenId]);
    if (step >= NUM_WARM_UP_STEPS) costs.observePlain(length, secondsSince(start));
    cache.rewindTo(length);
  }
}
