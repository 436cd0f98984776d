/** Lets a job run once there is KV memory for it. */
import { generateTurns } from './generate-turns.ts';
import type { KvRequest } from './kv-store.ts';
import { mayReuse, type Job } from './protocol.ts';
import { replayTurns } from './replay-turns.ts';
import type { Admission } from './scheduler.ts';
import type { WorkerContext } from './worker-context.ts';

/** Null while there is no room. */
export function admit(id: number, job: Job, context: WorkerContext): Admission | null {
  const kv = context.kv.reserve(kvRequest(job));
  if (kv === null) return null;
  const lane = context.lockstep.newLane();
  const turns =
    job.kind === 'generate'
      ? generateTurns(id, job, kv, lane, context)
      : replayTurns(id, job, kv, lane, context);
  // After a failure a cache may claim what was never computed.
  return { turns, lane, release: (hasFailed) => context.kv.release(kv, !hasFailed) };
}

function kvRequest(job: Job): KvRequest {
  const { promptTokenIds } = job;
  if (job.kind === 'generate') {
    return {
      promptTokenIds,
      numOpenTokens: job.openEnd.length,
      numPositions: promptTokenIds.length + job.maxTokens,
      isDrafting: job.maxDraftTokens > 0,
      isReusing: mayReuse(job),
      isShared: job.cachePrompt,
    };
  }
  // A replay computes all anew, to compare; its plain steps may write entries that are not bit-identical.
  const numPositions = promptTokenIds.length + job.numTokens;
  return {
    promptTokenIds,
    numOpenTokens: job.openEnd.length,
    numPositions,
    isDrafting: false,
    isReusing: false,
    isShared: false,
  };
}
