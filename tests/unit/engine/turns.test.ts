import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AcceptanceEstimate } from '../../../src/decoding/acceptance-estimate.ts';
import { StepCosts } from '../../../src/decoding/step-costs.ts';
import { generateTurns } from '../../../src/engine/generate-turns.ts';
import type { GenerateJob, WorkerMessage } from '../../../src/engine/protocol.ts';
import { PlainStepSchedule } from '../../../src/engine/plain-step-schedule.ts';
import { replayTurns } from '../../../src/engine/replay-turns.ts';
import { Scheduler } from '../../../src/engine/scheduler.ts';
import type { WorkerContext } from '../../../src/engine/worker-context.ts';
import { samplingParams } from '../../support/sampling.ts';
import {
  HIDDEN_SIZE,
  ScriptedCachePool,
  ScriptedMtp,
  ScriptedTarget,
  VOCAB_SIZE,
} from '../../support/scripted-model.ts';

const CAPACITY = 128;
const EOS = 23;

function job(given: Partial<GenerateJob> = {}): GenerateJob {
  return {
    kind: 'generate',
    promptTokenIds: [1, 2, 3],
    maxTokens: 30,
    sampling: samplingParams(),
    ignoreEos: true,
    numTopLogprobs: null,
    promptLogprobs: false,
    maxDraftTokens: 3,
    adaptive: false,
    ...given,
  };
}

describe('turns', () => {
  let messages: WorkerMessage[];
  let context: WorkerContext;
  let pools: { readonly target: ScriptedCachePool; readonly mtp: ScriptedCachePool };
  let scheduler: Scheduler;
  let done: Promise<void>;

  beforeEach(() => {
    messages = [];
    pools = { target: new ScriptedCachePool(CAPACITY), mtp: new ScriptedCachePool(CAPACITY) };
    const target = new ScriptedTarget();
    const costs = {
      lengths: [16],
      plainSeconds: [1],
      verifyRatios: Array(10).fill(1.2),
      draftSeconds: Array(9).fill(0.2),
    };
    context = {
      model: {
        manifest: {
          folder: '',
          id: 'scripted',
          created: 0,
          vocabSize: VOCAB_SIZE,
          hiddenSize: HIDDEN_SIZE,
          contextLength: CAPACITY,
          eosTokenIds: [EOS],
          target: {} as never,
          mtp: null,
          numSpecTokens: 3,
          maxSpecTokens: 8,
          fim: null,
          hasChatTemplate: false,
        },
        target,
        targetCaches: pools.target,
        mtp: new ScriptedMtp((position) => position % 4 !== 0),
        mtpCaches: pools.mtp,
        isExact: true,
      },
      costs: new StepCosts(costs),
      acceptance: AcceptanceEstimate.prior(8),
      post: (message) => messages.push(message),
      plainSteps: new PlainStepSchedule(),
    };
    scheduler = new Scheduler(2, {
      started: (id) => messages.push({ type: 'request-started', id }),
      failed: (id, error) => messages.push({ type: 'request-failed', id, message: String(error) }),
    });
    done = scheduler.run();
  });

  afterEach(async () => {
    scheduler.close();
    await done;
    expect([pools.target.numInUse, pools.mtp.numInUse]).toEqual([0, 0]);
  });

  const add = (id: number, given: Partial<GenerateJob> = {}): void =>
    scheduler.add(id, () => generateTurns(id, job(given), context));

  const idle = async (until: () => boolean): Promise<void> => {
    while (!until()) await new Promise((resolve) => setImmediate(resolve));
  };

  const finishOf = (id: number): string | null | undefined =>
    messages
      .filter((message) => message.type === 'tokens-decided' || message.type === 'request-prefilled')
      .findLast((message) => message.id === id)?.finish;

  function tokensOf(id: number): number[] {
    return messages.flatMap((message) => {
      if (message.type === 'request-prefilled' && message.id === id) return [message.token.tokenId];
      if (message.type === 'tokens-decided' && message.id === id)
        return message.tokens.map((token) => token.tokenId);
      return [];
    });
  }

  it('gives the same tokens alone, beside others, and at any depth', async () => {
    add(1);
    await idle(() => finishOf(1) === 'length');
    const alone = tokensOf(1);
    expect(alone).toHaveLength(30);
    for (let id = 2; id < 10; id += 1) add(id, { maxDraftTokens: id % 5, adaptive: id % 2 === 0 });
    await idle(() => [2, 3, 4, 5, 6, 7, 8, 9].every((id) => finishOf(id) === 'length'));
    for (let id = 2; id < 10; id += 1) expect(tokensOf(id)).toEqual(alone);
  });

  it('takes turns: a second request progresses before the first has finished', async () => {
    add(1, { maxTokens: 60 });
    add(2, { maxTokens: 10 });
    await idle(() => finishOf(1) === 'length');
    const lastOf = (id: number): number => messages.findLastIndex((m) => 'id' in m && m.id === id);
    expect(lastOf(2)).toBeLessThan(lastOf(1));
  });

  it('runs at most maxNumSeqs at once, in the order of arrival', async () => {
    for (let id = 1; id <= 5; id += 1) add(id, { maxTokens: 20 });
    await idle(() => finishOf(5) === 'length');
    const started = messages.flatMap((message) => (message.type === 'request-started' ? [message.id] : []));
    expect(started).toEqual([1, 2, 3, 4, 5]);
    const startOfThird = messages.findIndex((m) => m.type === 'request-started' && m.id === 3);
    const anyFinished = messages.findIndex((m) => 'finish' in m && m.finish !== null);
    expect(anyFinished).toBeLessThan(startOfThird);
  });

  it('gives caches back wherever it is aborted', async () => {
    for (let numTurns = 0; numTurns < 12; numTurns += 1) {
      const id = 100 + numTurns;
      add(id, {
        maxTokens: 100,
        promptTokenIds: Array.from({ length: 40 }, (_, index) => index % VOCAB_SIZE),
      });
      for (let turn = 0; turn < numTurns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      scheduler.abort(id);
      await idle(() => pools.target.numInUse === 0);
      expect(pools.mtp.numInUse).toBe(0);
    }
  });

  it('ends at the end of text, and counts it', async () => {
    add(1, { ignoreEos: false, maxTokens: 100, sampling: samplingParams({ temperature: 2, seed: 11 }) });
    await idle(() => (finishOf(1) ?? null) !== null);
    const tokens = tokensOf(1);
    expect(finishOf(1)).toBe('stop');
    expect(tokens.indexOf(EOS)).toBe(tokens.length - 1);
  });

  it('never decides more than maxTokens', async () => {
    for (let maxTokens = 1; maxTokens < 9; maxTokens += 1) add(maxTokens, { maxTokens });
    await idle(() => finishOf(8) === 'length');
    for (let maxTokens = 1; maxTokens < 9; maxTokens += 1)
      expect(tokensOf(maxTokens)).toHaveLength(maxTokens);
  });

  it('fills the context window to its last position', async () => {
    add(1, { maxTokens: CAPACITY - 3 });
    await idle(() => finishOf(1) === 'length');
    expect(tokensOf(1)).toHaveLength(CAPACITY - 3);
  });

  it('reports a failing request and goes on with the others', async () => {
    add(1, { promptTokenIds: Array.from({ length: CAPACITY + 9 }, () => 1) });
    add(2);
    await idle(() => finishOf(2) === 'length');
    expect(messages).toContainEqual(expect.objectContaining({ type: 'request-failed', id: 1 }));
  });

  it('replays a request to the same tokens', async () => {
    add(1, { sampling: samplingParams({ temperature: 1, seed: 4 }) });
    await idle(() => finishOf(1) === 'length');
    const replay = {
      kind: 'replay',
      promptTokenIds: [1, 2, 3],
      numTokens: 30,
      sampling: samplingParams({ temperature: 1, seed: 4 }),
    } as const;
    scheduler.add(2, () => replayTurns(2, replay, context));
    await idle(() => messages.some((message) => message.type === 'request-replayed'));
    const replayed = messages.find((message) => message.type === 'request-replayed');
    expect(replayed?.tokenIds).toEqual(tokensOf(1));
    expect(replayed?.plainSeconds).toBeGreaterThan(0);
  });

  it('keeps the text while it measures plain steps', async () => {
    const observePlain = vi.spyOn(context.costs, 'observePlain');
    add(1, { maxDraftTokens: 0, maxTokens: 30 });
    await idle(() => finishOf(1) === 'length');
    expect(observePlain).not.toHaveBeenCalled();
    add(2, { maxDraftTokens: 0, maxTokens: 30 });
    await idle(() => finishOf(2) === 'length');
    expect(observePlain).toHaveBeenCalled();
    expect(tokensOf(2)).toEqual(tokensOf(1));
  });
});
