import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { samplingParams } from '../../support/sampling.ts';
import { VOCAB_SIZE } from '../../support/scripted-model.ts';
import { CAPACITY, EOS, nextTick, ScriptedWorker, until } from '../../support/scripted-worker.ts';
import { HOLD_MS } from '../../../src/engine/outbox.ts';
import { NUM_TIMED_STEPS, NUM_WARM_UP_STEPS } from '../../../src/engine/plain-step-schedule.ts';

describe('turns', () => {
  let worker: ScriptedWorker;

  beforeEach(() => {
    worker = new ScriptedWorker();
  });

  afterEach(async () => {
    await worker.close();
    expect(worker.context.kv.usage.runningBytes).toBe(0);
  });

  it('gives the same tokens alone, beside others, and at any depth', async () => {
    worker.add(1);
    await until(() => worker.finishOf(1) === 'length');
    const alone = worker.tokensOf(1);
    expect(alone).toHaveLength(30);
    for (let id = 2; id < 10; id += 1) worker.add(id, { maxDraftTokens: id % 5, adaptive: id % 2 === 0 });
    await until(() => [2, 3, 4, 5, 6, 7, 8, 9].every((id) => worker.finishOf(id) === 'length'));
    for (let id = 2; id < 10; id += 1) expect(worker.tokensOf(id)).toEqual(alone);
  });

  it('takes turns: a second request progresses before the first has finished', async () => {
    worker.add(1, { maxTokens: 60 });
    worker.add(2, { maxTokens: 10 });
    await until(() => worker.finishOf(1) === 'length');
    const lastOf = (id: number): number => worker.messages.findLastIndex((m) => 'id' in m && m.id === id);
    expect(lastOf(2)).toBeLessThan(lastOf(1));
  });

  it('runs at most maxNumSeqs at once, in the order of arrival', async () => {
    for (let id = 1; id <= 5; id += 1) worker.add(id, { maxTokens: 20 });
    await until(() => worker.finishOf(5) === 'length');
    const started = worker.messages.flatMap((message) =>
      message.type === 'request-started' ? [message.id] : [],
    );
    expect(started).toEqual([1, 2, 3, 4, 5]);
    const startOfThird = worker.messages.findIndex((m) => m.type === 'request-started' && m.id === 3);
    const anyFinished = worker.messages.findIndex((m) => 'finish' in m && m.finish !== null);
    expect(anyFinished).toBeLessThan(startOfThird);
  });

  it('gives caches back wherever it is aborted', async () => {
    for (let numTurns = 0; numTurns < 12; numTurns += 1) {
      const id = 100 + numTurns;
      worker.add(id, {
        maxTokens: 100,
        promptTokenIds: Array.from({ length: 40 }, (_, index) => index % VOCAB_SIZE),
      });
      for (let turn = 0; turn < numTurns; turn += 1) await nextTick();
      worker.scheduler.abort(id);
      await until(() => worker.context.kv.usage.runningBytes === 0);
      expect(worker.pools.mtp.numInUse).toBe(worker.pools.target.numInUse);
    }
  });

  it('ends at the end of text, and counts it', async () => {
    worker.add(1, {
      ignoreEos: false,
      maxTokens: 100,
      sampling: samplingParams({ temperature: 2, seed: 11 }),
    });
    await until(() => (worker.finishOf(1) ?? null) !== null);
    const tokens = worker.tokensOf(1);
    expect(worker.finishOf(1)).toBe('stop');
    expect(tokens.indexOf(EOS)).toBe(tokens.length - 1);
  });

  it('never decides more than maxTokens', async () => {
    for (let maxTokens = 1; maxTokens < 9; maxTokens += 1) worker.add(maxTokens, { maxTokens });
    await until(() => worker.finishOf(8) === 'length');
    for (let maxTokens = 1; maxTokens < 9; maxTokens += 1)
      expect(worker.tokensOf(maxTokens)).toHaveLength(maxTokens);
  });

  it('fills the context window to its last position', async () => {
    worker.add(1, { maxTokens: CAPACITY - 3 });
    await until(() => worker.finishOf(1) === 'length');
    expect(worker.tokensOf(1)).toHaveLength(CAPACITY - 3);
  });

  it('reports a failing request and goes on with the others', async () => {
    worker.add(1, { promptTokenIds: Array.from({ length: CAPACITY + 9 }, () => 1) });
    worker.add(2);
    await until(() => worker.finishOf(2) === 'length');
    expect(worker.messages).toContainEqual(expect.objectContaining({ type: 'request-failed', id: 1 }));
  });

  describe('where the end of the prompt is open', () => {
    const prompt = Array.from({ length: 20 }, (_, index) => (index * 5 + 2) % VOCAB_SIZE);
    /** Nothing may stand in the place of the first of the two, everything in that of the second. */
    const openEnd = [
      { text: 'ab', extensions: [] },
      { text: 'b', extensions: [...Array(VOCAB_SIZE).keys()] },
    ];
    const job = { promptTokenIds: prompt, openEnd, sampling: samplingParams({ temperature: 1, seed: 4 }) };
    const replacedOf = (id: number): number | undefined =>
      worker.messages
        .filter((message) => message.type === 'request-prefilled')
        .find((message) => message.id === id)?.numReplacedTokens;

    it('goes on from where another token took the place of one, at any depth and from what others hold', async () => {
      const short = { ...job, promptTokenIds: prompt.slice(0, -1), openEnd: [] };
      const expected = await worker.generate(1, { ...short, cachePrompt: false });
      expect(replacedOf(1)).toBe(0);
      expect(expected[0]).not.toBe(prompt.at(-1));
      for (const [index, depth] of [0, 1, 3, 3, 0].entries()) {
        const id = index + 2;
        expect(await worker.generate(id, { ...job, maxDraftTokens: depth, adaptive: index === 3 })).toEqual(
          expected,
        );
        expect(replacedOf(id)).toBe(1);
      }
      // What is open is computed anew.
      expect(worker.numCachedOf(5)).toBe(prompt.length - 3);
      // What was kept is the tokens that were decided, not the ones that gave way.
      const more = { ...short, promptTokenIds: [...short.promptTokenIds, ...expected.slice(0, 3)] };
      expect(await worker.generate(9, more)).toEqual(
        await worker.generate(10, { ...more, cachePrompt: false }),
      );
      expect(worker.numCachedOf(9)).toBe(more.promptTokenIds.length - 1);
    });

    it('replays to the same tokens', async () => {
      const tokenIds = await worker.generate(1, job);
      worker.addJob(2, { ...job, kind: 'replay', numTokens: 30 });
      await until(() => worker.messages.some((message) => message.type === 'request-replayed'));
      const replayed = worker.messages.find((message) => message.type === 'request-replayed');
      expect(replayed?.tokenIds).toEqual(tokenIds);
    });
  });

  it('replays a request to the same tokens', async () => {
    worker.add(1, { sampling: samplingParams({ temperature: 1, seed: 4 }) });
    await until(() => worker.finishOf(1) === 'length');
    const replay = {
      kind: 'replay',
      promptTokenIds: [1, 2, 3],
      openEnd: [],
      numTokens: 30,
      sampling: samplingParams({ temperature: 1, seed: 4 }),
    } as const;
    worker.addJob(2, replay);
    await until(() => worker.messages.some((message) => message.type === 'request-replayed'));
    const replayed = worker.messages.find((message) => message.type === 'request-replayed');
    expect(replayed?.tokenIds).toEqual(worker.tokensOf(1));
    expect(replayed?.plainSeconds).toBeGreaterThan(0);
  });

  it.each([
    { leastWidth: 2, maxDraftTokens: 0, adaptive: false, areServed: false },
    { leastWidth: 1, maxDraftTokens: 0, adaptive: false, areServed: true },
    { leastWidth: 1, maxDraftTokens: 3, adaptive: true, areServed: true },
    { leastWidth: 1, maxDraftTokens: 3, adaptive: false, areServed: false },
  ] as const)(
    'keeps the text while it measures plain steps: %o',
    async ({ leastWidth, areServed, ...job }) => {
      const plain = new ScriptedWorker({ leastWidth });
      const observePlain = vi.spyOn(plain.context.costs.of(1), 'observePlain');
      const forwardAtWidth = vi.spyOn(plain.target, 'forwardAtWidth');
      let numRequests = 0;
      while (observePlain.mock.calls.length < NUM_TIMED_STEPS) {
        const id = (numRequests += 1);
        plain.add(id, { ...job, cachePrompt: false, maxTokens: 60 });
        await until(() => plain.finishOf(id) === 'length');
        expect(plain.tokensOf(id)).toEqual(plain.tokensOf(1));
      }
      expect(observePlain).toHaveBeenCalledTimes(NUM_TIMED_STEPS);
      // Each request has a forward for its prompt and one for every round.
      const numRounds = plain.messages.filter(({ type }) => type === 'tokens-decided').length;
      expect(forwardAtWidth).toHaveBeenCalledTimes(
        numRequests + numRounds + (areServed ? 0 : NUM_WARM_UP_STEPS + NUM_TIMED_STEPS),
      );
      await plain.close();
    },
  );

  it('sends what waits one step before the plain steps that it times, and nothing among these', async () => {
    const events: string[] = [];
    const plain = new ScriptedWorker({
      leastWidth: 1,
      onMessage: (message, holdMs) => {
        if (message.type === 'tokens-decided' && message.finish === null)
          events.push(holdMs === 0 ? 'sent' : holdMs === HOLD_MS ? 'waits' : 'waits long');
      },
    });
    const observePlain = vi.spyOn(plain.context.costs.of(1), 'observePlain');
    observePlain.mockImplementation(() => events.push('timed'));
    for (let id = 1; observePlain.mock.calls.length < NUM_TIMED_STEPS; id += 1) {
      plain.add(id, { maxDraftTokens: 0, cachePrompt: false, maxTokens: 60 });
      await until(() => plain.finishOf(id) === 'length');
    }
    const first = events.indexOf('timed');
    expect(events.indexOf('sent')).toBe(first - 2);
    expect(events.lastIndexOf('sent')).toBe(first - 2);
    const timed = Array.from({ length: NUM_TIMED_STEPS }, () => ['timed', 'waits long']).flat();
    expect(events.slice(first - 1, first + timed.length - 1)).toEqual(['waits long', ...timed.slice(0, -1)]);
    expect(events.filter((event) => event === 'waits long')).toHaveLength(NUM_TIMED_STEPS);
    await plain.close();
  });
});
