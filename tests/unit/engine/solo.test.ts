import { afterEach, describe, expect, it } from 'vitest';
import { generateJob, ScriptedWorker, SOLO_PLAIN_SECONDS, until } from '../../support/scripted-worker.ts';

const NUM_TOKENS = 40;

describe('a sequence that has the machine to itself', () => {
  let worker: ScriptedWorker;
  afterEach(() => worker.close());

  /** Seconds of plain decoding by which each round's speedup is told, and its tokens. */
  const baselines = (): number[] =>
    worker.messages.flatMap((message) =>
      message.type === 'tokens-decided' ? [message.baselineSeconds / message.tokens.length] : [],
    );

  it('has a target of its own, prefill included, and what that costs as its baseline', async () => {
    worker = new ScriptedWorker({ hasSolo: true });
    await worker.generate(1, { maxTokens: NUM_TOKENS });
    expect(worker.soloTarget.widths.length).toBeGreaterThan(5);
    expect(worker.target.widths).toEqual([]);
    expect(Math.max(...baselines())).toBeLessThan(1.1 * SOLO_PLAIN_SECONDS);
  });

  it('goes back to the one for all while other workers have something to do, and the text stays', async () => {
    worker = new ScriptedWorker();
    const expected = await worker.generate(1, { maxTokens: NUM_TOKENS });
    await worker.close();
    worker = new ScriptedWorker({
      hasSolo: true,
      // Every other round.
      onMessage: () => (worker.othersRun = !worker.othersRun),
    });
    expect(await worker.generate(1, { maxTokens: NUM_TOKENS })).toEqual(expected);
    expect(worker.soloTarget.widths.length).toBeGreaterThan(2);
    expect(worker.target.widths.length).toBeGreaterThan(2);
    expect(Math.min(...baselines())).toBeLessThan(1.1 * SOLO_PLAIN_SECONDS);
    expect(Math.max(...baselines())).toBeGreaterThan(0.9);
  });

  it('is none that shares its passes', async () => {
    worker = new ScriptedWorker({ hasSolo: true, sharing: [2], maxNumSeqs: 2 });
    for (const id of [1, 2]) worker.add(id, { promptTokenIds: [id, 2, 3], maxTokens: NUM_TOKENS });
    await until(() => [1, 2].every((id) => worker.finishOf(id) === 'length'));
    const shared = worker.sharedPasses.filter(({ pass }) => pass === 'verify');
    expect(shared.length).toBeGreaterThan(5);
    // Prefill, and no more than a round that one had before the other came.
    expect(worker.soloTarget.widths.length).toBeLessThan(5);
  });

  it('is replayed on the same target', async () => {
    worker = new ScriptedWorker({ hasSolo: true });
    const { promptTokenIds, openEnd, sampling } = generateJob();
    worker.addJob(1, { kind: 'replay', promptTokenIds, openEnd, sampling, numTokens: 8 });
    await until(() => worker.messages.some(({ type }) => type === 'request-replayed'));
    expect(worker.target.widths).toEqual([]);
  });
});
