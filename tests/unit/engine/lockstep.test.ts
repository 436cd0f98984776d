import { afterEach, describe, expect, it, vi } from 'vitest';
import { LaneClock } from '../../../src/engine/lane.ts';
import type { WorkerMessage } from '../../../src/engine/protocol.ts';
import { samplingParams } from '../../support/sampling.ts';
import { VOCAB_SIZE } from '../../support/scripted-model.ts';
import { ScriptedWorker, until } from '../../support/scripted-worker.ts';

const IDS = [1, 2, 3, 4, 5, 6, 7];

/** Seven requests, each of another prompt, depth and length. */
const jobOf = (id: number) => ({
  promptTokenIds: Array.from({ length: 3 + 5 * id }, (_, index) => (index * id) % VOCAB_SIZE),
  maxTokens: 20 + 3 * id,
  maxDraftTokens: id % 5,
  sampling: samplingParams({ temperature: id % 2, seed: id }),
});

async function decodeAll(worker: ScriptedWorker, more: { sharesPasses?: boolean } = {}): Promise<number[][]> {
  for (const id of IDS) worker.add(id, { ...jobOf(id), ...more });
  await until(() => IDS.every((id) => worker.finishOf(id) === 'length'));
  await until(() => worker.context.kv.usage.runningBytes === 0);
  return IDS.map((id) => worker.tokensOf(id));
}

describe('Lockstep', () => {
  let worker: ScriptedWorker;
  afterEach(() => worker.close());

  it('gives every request the tokens that it gets alone', async () => {
    worker = new ScriptedWorker({ maxNumSeqs: 1 });
    const alone = await decodeAll(worker);
    await worker.close();
    worker = new ScriptedWorker({ maxNumSeqs: 7, sharing: [4, 2] });
    expect(await decodeAll(worker)).toEqual(alone);
    expect(worker.sharedPasses.length).toBeGreaterThan(20);
  });

  it('takes as many together as there are passes for, drafts and verifies alike', async () => {
    worker = new ScriptedWorker({ maxNumSeqs: 7, sharing: [4, 2] });
    await decodeAll(worker);
    for (const pass of ['draft', 'verify'] as const) {
      const sizes = worker.sharedPasses
        .filter((shared) => shared.pass === pass)
        .map(({ widths }) => widths.length);
      expect(new Set(sizes)).toEqual(new Set([2, 4]));
    }
    const verifies = worker.sharedPasses.filter(({ pass }) => pass === 'verify');
    expect(verifies.some(({ widths }) => new Set(widths).size > 1)).toBe(true);
  });

  it('leaves alone who asks for it', async () => {
    worker = new ScriptedWorker({ maxNumSeqs: 7, sharing: [4, 2] });
    await decodeAll(worker, { sharesPasses: false });
    expect(worker.sharedPasses).toEqual([]);
  });

  it('charges each with its share: all together have no more time than has passed', async () => {
    worker = new ScriptedWorker({ maxNumSeqs: 7, sharing: [4, 2] });
    const start = performance.now();
    await decodeAll(worker);
    const elapsed = (performance.now() - start) / 1000;
    const rounds = worker.messages.filter(
      (message): message is Extract<WorkerMessage, { type: 'tokens-decided' }> =>
        message.type === 'tokens-decided',
    );
    const charged = rounds.reduce((sum, { decodeSeconds }) => sum + decodeSeconds, 0);
    expect(charged).toBeGreaterThan(0);
    expect(charged).toBeLessThan(elapsed);
    for (const { round, decodeSeconds } of rounds)
      expect(round.draftSeconds + round.verifySeconds + round.sampleSeconds).toBeLessThan(
        decodeSeconds * 1.000001,
      );
  });

  it('ends those whose pass fails, and goes on with others', async () => {
    worker = new ScriptedWorker({ maxNumSeqs: 4, sharing: [2] });
    const [shared] = worker.shared;
    vi.spyOn(shared!.target, 'forward').mockRejectedValueOnce(new Error('out of luck'));
    for (const id of [1, 2, 3, 4]) worker.add(id, { ...jobOf(id), maxDraftTokens: 2 });
    await until(() => [3, 4].every((id) => worker.finishOf(id) === 'length'));
    const failed = worker.messages.filter(({ type }) => type === 'request-failed');
    expect(failed).toMatchObject([1, 2].map((id) => ({ id, message: 'Error: out of luck' })));
    await until(() => worker.context.kv.usage.runningBytes === 0);
  });

  it('lets one that is aborted leave, and the others go on', async () => {
    worker = new ScriptedWorker({ maxNumSeqs: 4, sharing: [4, 2] });
    for (const id of [1, 2, 3, 4]) worker.add(id, jobOf(id));
    await until(() => worker.sharedPasses.length > 3);
    worker.scheduler.abort(2);
    await until(() => [1, 3, 4].every((id) => worker.finishOf(id) === 'length'));
    expect(worker.finishOf(2)).toBeNull();
    await until(() => worker.context.kv.usage.runningBytes === 0);
  });
});

describe('LaneClock', () => {
  it('counts the time in which it runs and what is charged to it', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const clock = new LaneClock();
      vi.advanceTimersByTime(1000);
      expect(clock.seconds).toBe(0);
      clock.start();
      vi.advanceTimersByTime(500);
      expect(clock.seconds).toBe(0.5);
      clock.stop();
      vi.advanceTimersByTime(500);
      clock.charge(2);
      expect(clock.seconds).toBe(2.5);
    } finally {
      vi.useRealTimers();
    }
  });
});
