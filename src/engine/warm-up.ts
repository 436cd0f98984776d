/**
 * Decodes before anyone asks. Code that has hardly run is slow, and what steps cost among rounds is not what they cost in
 * the unbroken runs of calibration: the first requests would be slower, and their baselines wrong.
 */
import { AcceptanceEstimate } from '../decoding/acceptance-estimate.ts';
import { GREEDY } from '../decoding/sampling-params.ts';
import { admit } from './admission.ts';
import { maxSequencePositions, type KvMemory } from './kv-memory.ts';
import type { GenerateJob } from './protocol.ts';
import { Scheduler } from './scheduler.ts';
import type { WorkerContext } from './worker-context.ts';

const NUM_PROMPT_TOKENS = 64;
const NUM_TOKENS = 64;
const NUM_SHARED_TOKENS = 16;

/** Rounds with drafts, greedy and sampled, plain ones, and those that sequences share; teaches step costs alone. */
export async function warmUp(context: WorkerContext, kvMemory: KvMemory): Promise<void> {
  const { manifest, shared } = context.model;
  const isDrafting = manifest.maxSpecTokens > 0;
  if (maxSequencePositions(kvMemory, isDrafting) < NUM_PROMPT_TOKENS + NUM_TOKENS) return;
  const job: GenerateJob = {
    kind: 'generate',
    promptTokenIds: Array.from({ length: NUM_PROMPT_TOKENS }, (_, index) => index % manifest.vocabSize),
    openEnd: [],
    maxTokens: NUM_TOKENS,
    sampling: GREEDY,
    ignoreEos: true,
    numTopLogprobs: null,
    promptLogprobs: false,
    maxDraftTokens: manifest.maxSpecTokens,
    adaptive: true,
    cachePrompt: false,
    sharesPasses: true,
    tokensMayWait: true,
  };
  const sampled: GenerateJob = { ...job, sampling: { ...GREEDY, temperature: 0.8 } };
  for (const alone of [job, sampled, { ...job, maxDraftTokens: 0 }]) await decode([alone], context);
  for (const { target } of shared) {
    const short = { ...job, maxTokens: NUM_SHARED_TOKENS };
    await decode(
      Array.from({ length: target.numSequences }, () => short),
      context,
    );
  }
}

/** All of them at a time. Throws what a turn threw. */
async function decode(jobs: readonly GenerateJob[], context: WorkerContext): Promise<void> {
  const acceptance = AcceptanceEstimate.prior(context.model.manifest.maxSpecTokens);
  const unheard: WorkerContext = { ...context, acceptance, post: () => {} };
  const failures: unknown[] = [];
  const events = {
    started: () => {},
    failed: (_: number, error: unknown) => {
      failures.push(error);
      scheduler.close();
    },
  };
  const scheduler = new Scheduler(jobs.length, events, context.lockstep);
  let numLeft = jobs.length;
  for (const [id, job] of jobs.entries()) {
    scheduler.add(id, () => {
      const admission = admit(id, job, unheard);
      if (admission === null) return null;
      const release = (hasFailed: boolean): void => {
        admission.release(hasFailed);
        numLeft -= 1;
        if (numLeft === 0) scheduler.close();
      };
      return { ...admission, release };
    });
  }
  await scheduler.run();
  if (failures.length > 0) throw failures[0];
}
