/**
 * One replay job: the request again without speculation. First as it is served, which must give the same ids; then
 * with plain steps, whose time is the measured baseline.
 */
import { plainStep } from '../decoding/autoregressive.ts';
import { UNDECIDED, type DecodingState } from '../decoding/decoding-state.ts';
import { noDrafts } from '../decoding/draft-plan.ts';
import { prefill } from '../decoding/prefill.ts';
import { Sampler } from '../decoding/sampler.ts';
import { decodeRound } from '../decoding/speculative.ts';
import type { Lane } from './lane.ts';
import type { ReplayJob } from './protocol.ts';
import type { Turns } from './scheduler.ts';
import type { SequenceKv } from './sequence-kv.ts';
import type { WorkerContext } from './worker-context.ts';

export async function* replayTurns(
  id: number,
  job: ReplayJob,
  kv: SequenceKv,
  { clock, target }: Lane,
  context: WorkerContext,
): Turns {
  const cache = kv.target;
  const newSampler = (): Sampler => new Sampler(job.sampling, job.promptTokenIds);
  const state: DecodingState = {
    clock,
    target,
    cache,
    sampler: newSampler(),
    drafter: null,
    nextTokenId: UNDECIDED,
  };
  const chunks = prefill(state, job.promptTokenIds, job.openEnd);
  while ((await chunks.next()).done !== true) yield 'alone';
  const first = state.nextTokenId;
  const numPromptTokens = cache.length;
  const tokenIds = [first];
  while (tokenIds.length < job.numTokens) {
    tokenIds.push(...(await decodeRound(state, noDrafts)).tokenIds);
    yield 'alone';
  }
  cache.rewindTo(numPromptTokens);
  const sampler = newSampler();
  sampler.push(first);
  let plainSeconds = 0;
  let latest = first;
  for (let count = 1; count < job.numTokens; count += 1) {
    const step = await plainStep(target, cache, sampler, latest);
    latest = step.tokenId;
    plainSeconds += step.seconds;
    yield 'alone';
  }
  context.post({ type: 'request-replayed', id, tokenIds, plainSeconds });
}
