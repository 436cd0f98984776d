import { describe, expect, it } from 'vitest';
import { warmUp } from '../../../src/engine/warm-up.ts';
import { CAPACITY, ScriptedWorker } from '../../support/scripted-worker.ts';

const prior = ({ context }: ScriptedWorker): number => context.acceptance.atPosition(0);

describe('warm-up', () => {
  it('decodes alone and side by side, and leaves only costs behind', async () => {
    const worker = new ScriptedWorker({ sharing: [4, 2], maxNumSeqs: 1 });
    const { context } = worker;
    const priorAcceptance = prior(worker);
    const roundSeconds = context.costs.of(1).roundSeconds;
    await warmUp(context, worker.memory);
    expect(worker.target.widths).toContain(9); // all eight drafts
    const numShared = worker.sharedPasses.map(({ widths }) => widths.length);
    expect(new Set(numShared)).toEqual(new Set([4, 2]));
    expect(context.costs.of(1).roundSeconds).toBeGreaterThan(roundSeconds);
    expect(prior(worker)).toBe(priorAcceptance);
    expect(worker.messages.filter(({ type }) => type !== 'kv-memory-used')).toEqual([]);
    expect(context.kv.usage).toEqual({ runningBytes: 0, keptBytes: 0 });
    await worker.close();
  });

  it('takes the sequences in turns where there is no room for them at a time', async () => {
    const worker = new ScriptedWorker({ sharing: [4], budgetBytes: 2 * CAPACITY });
    await warmUp(worker.context, worker.memory);
    expect(worker.target.widths.length).toBeGreaterThan(0);
    expect(worker.sharedPasses).toEqual([]);
    await worker.close();
  });

  it('is left out where a sequence of its length would not fit', async () => {
    const worker = new ScriptedWorker({ budgetBytes: CAPACITY });
    await warmUp(worker.context, worker.memory);
    expect(worker.target.widths).toEqual([]);
    await worker.close();
  });

  it('tells of forwards that fail', async () => {
    const worker = new ScriptedWorker();
    worker.target.forwardAtWidth = () => Promise.reject(new Error('no such kernel'));
    await expect(warmUp(worker.context, worker.memory)).rejects.toThrow('no such kernel');
    await worker.close();
  });
});
