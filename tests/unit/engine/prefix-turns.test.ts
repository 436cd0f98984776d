import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GenerateJob } from '../../../src/engine/protocol.ts';
import type { RoundStats } from '../../../src/metrics/engine-observer.ts';
import { samplingParams } from '../../support/sampling.ts';
import { VOCAB_SIZE, type ScriptedCache } from '../../support/scripted-model.ts';
import { CAPACITY, nextTick, ScriptedWorker, until } from '../../support/scripted-worker.ts';

const prompt = Array.from({ length: 60 }, (_, index) => (index * 7 + 3) % VOCAB_SIZE);
const otherwise = (tokenId: number): number => (tokenId + 1) % VOCAB_SIZE;

/** Small numbers, the same in every run (mulberry32). */
function randomNumbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) % limit;
  };
}

describe('turns over the KV of earlier sequences', () => {
  let worker: ScriptedWorker;
  beforeEach(() => {
    worker = new ScriptedWorker({ maxNumSeqs: 3 });
  });
  afterEach(async () => {
    await worker.close();
    expect(worker.context.kv.usage.runningBytes).toBe(0);
    expectTrueModuleCaches();
  });

  /** What the module's caches hold begins with the second token of what a target's cache holds or is about to. */
  function expectTrueModuleCaches(): void {
    const targets = [...worker.pools.target.taken] as ScriptedCache[];
    for (const cache of [...worker.pools.mtp.taken] as ScriptedCache[]) {
      const held = cache.tokenIds.slice(0, cache.length);
      const isTrue = (target: ScriptedCache): boolean =>
        held.every((tokenId, index) => index + 1 >= target.length || tokenId === target.tokenIds[index + 1]);
      expect(targets.some((target) => target.length >= held.length && isTrue(target))).toBe(true);
    }
  }

  const roundsOf = (id: number): RoundStats[] =>
    worker.messages.flatMap((message) =>
      message.type === 'tokens-decided' && message.id === id ? [message.round] : [],
    );

  /** The tokens of a worker that has seen nothing. */
  async function cold(given: Partial<GenerateJob>): Promise<number[]> {
    const fresh = new ScriptedWorker();
    const tokenIds = await fresh.generate(1, given);
    await fresh.close();
    return tokenIds;
  }

  const samplings = { greedy: samplingParams(), sampled: samplingParams({ temperature: 1, seed: 5 }) };

  describe.each(Object.entries(samplings))('%s', (_, sampling) => {
    it.each([0, 3])(
      'give the same tokens, with %i drafts, wherever the prompts part',
      async (maxDraftTokens) => {
        let id = 0;
        for (const numCommon of [0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 58, 59, 60]) {
          const parted = prompt.map((tokenId, index) => (index < numCommon ? tokenId : otherwise(tokenId)));
          const job = { promptTokenIds: parted, sampling, maxDraftTokens, maxTokens: 20 };
          await worker.generate((id += 1), {
            promptTokenIds: prompt,
            sampling,
            maxDraftTokens,
            maxTokens: 20,
          });
          const warm = await worker.generate((id += 1), job);
          expect(warm).toEqual(await cold(job));
          // The seventeenth token and the next of `otherwise` prompts are known from the round before, and so on.
          expect(worker.numCachedOf(id)).toBeGreaterThanOrEqual(Math.max(0, numCommon - 1));
          expect(worker.numCachedOf(id)).toBeLessThan(parted.length);
        }
      },
    );

    it('give the same tokens for a prompt that goes on with the output', async () => {
      const output = await worker.generate(1, { promptTokenIds: prompt, sampling, maxTokens: 20 });
      for (const [index, numMore] of [1, 7, 19, 20].entries()) {
        const job = { promptTokenIds: [...prompt, ...output.slice(0, numMore)], sampling, maxTokens: 15 };
        expect(await worker.generate(10 + index, job)).toEqual(await cold(job));
        expect(worker.numCachedOf(10 + index)).toBe(prompt.length + numMore - 1);
      }
    });

    it('verify what an earlier request went on with, and give the same tokens', async () => {
      const job = { promptTokenIds: prompt, sampling, adaptive: true, maxDraftTokens: 8, maxTokens: 40 };
      const first = await worker.generate(1, job);
      expect(roundsOf(1).some(({ drafter }) => drafter === 'earlier_text')).toBe(false);
      expect(await worker.generate(2, job)).toEqual(first);
      const looked = roundsOf(2).filter(({ drafter }) => drafter === 'earlier_text');
      expect(looked.length).toBeGreaterThan(2);
      for (const { numDraftTokens, numAcceptedDraftTokens } of looked)
        expect(numAcceptedDraftTokens).toBe(numDraftTokens);
      // Who goes on otherwise soon finds nothing there.
      const otherJob = { ...job, promptTokenIds: [...prompt, otherwise(first[0]!), otherwise(first[1]!)] };
      expect(await worker.generate(3, otherJob)).toEqual(await cold(otherJob));
    });

    it('give the same tokens whether the one before drafted or not', async () => {
      let id = 0;
      for (const [before, now] of [
        [0, 3],
        [3, 0],
        [0, 3],
        [3, 3],
        [0, 0],
      ] as const) {
        await worker.generate((id += 1), { promptTokenIds: prompt, sampling, maxDraftTokens: before });
        const job = { promptTokenIds: [...prompt.slice(0, 50), 1], sampling, maxDraftTokens: now };
        expect(await worker.generate((id += 1), job)).toEqual(await cold(job));
      }
    });
  });

  it('computes no more than a token that is known, at the deciding width', async () => {
    await worker.generate(1, { promptTokenIds: prompt });
    worker.target.widths.length = 0;
    await worker.generate(2, { promptTokenIds: prompt, maxTokens: 1 });
    expect(worker.target.widths).toEqual([2]);
    expect(worker.numCachedOf(2)).toBe(prompt.length - 1);
  });

  it('drafts from what it took over as well as from what it computed', async () => {
    const drafted = (id: number): number[] =>
      worker.messages.flatMap((message) =>
        message.type === 'tokens-decided' && message.id === id ? [message.round.numAcceptedDraftTokens] : [],
      );
    await worker.generate(1, { promptTokenIds: prompt });
    await worker.generate(2, { promptTokenIds: prompt });
    expect(worker.numCachedOf(2)).toBe(prompt.length - 1);
    expect(drafted(2)).toEqual(drafted(1));
  });

  it('finds the module as far as the target after a request that never drafted', async () => {
    await worker.generate(1, { promptTokenIds: prompt, maxTokens: 1 });
    await worker.generate(2, { promptTokenIds: prompt, maxTokens: 1 });
    expect(worker.numCachedOf(2)).toBe(prompt.length - 1);
  });

  it('copies from a sequence that still runs', async () => {
    worker.add(1, { promptTokenIds: prompt, maxTokens: 60 });
    await until(() => worker.tokensOf(1).length > 20);
    worker.add(2, { promptTokenIds: prompt, maxTokens: 60 });
    await until(() => worker.finishOf(2) === 'length');
    expect(worker.numCachedOf(2)).toBe(prompt.length - 1);
    expect(worker.tokensOf(1)).toEqual(worker.tokensOf(2));
    expect(worker.tokensOf(1)).toEqual(await cold({ promptTokenIds: prompt, maxTokens: 60 }));
  });

  describe('that begin alike and are computed at the same time', () => {
    const numComputed = (): number =>
      worker.target.widths.filter((width) => width > 4).reduce((sum, width) => sum + width, 0);

    it.each([0, 3])('compute their beginning once, with %i drafts', async (maxDraftTokens) => {
      const job = { promptTokenIds: prompt, maxDraftTokens, maxTokens: 20 };
      for (const id of [1, 2, 3]) worker.add(id, job);
      await until(() => [1, 2, 3].every((id) => worker.finishOf(id) === 'length'));
      const alone = await cold(job);
      for (const id of [1, 2, 3]) expect(worker.tokensOf(id)).toEqual(alone);
      // Four chunks of at most 16; everyone computes the last token.
      const numCached = [1, 2, 3].map((id) => worker.numCachedOf(id));
      expect(numCached.reduce((sum, each) => sum + each, 0)).toBe(2 * prompt.length - 2);
      expect(numComputed()).toBe(prompt.length);
    });

    it('go on by themselves where they part, or where the other is aborted or fails', async () => {
      const parted = [...prompt.slice(0, 40), ...prompt.slice(40).map(otherwise)];
      worker.add(1, { promptTokenIds: prompt, maxTokens: 20 });
      worker.add(2, { promptTokenIds: parted, maxTokens: 20 });
      worker.add(3, { promptTokenIds: parted, maxTokens: 20 });
      await until(() => numComputed() >= 32);
      worker.scheduler.abort(1);
      await until(() => worker.finishOf(2) === 'length' && worker.finishOf(3) === 'length');
      expect(worker.finishOf(1)).toBeUndefined();
      const alone = await cold({ promptTokenIds: parted, maxTokens: 20 });
      expect([worker.tokensOf(2), worker.tokensOf(3)]).toEqual([alone, alone]);
      expect(worker.numCachedOf(2) + worker.numCachedOf(3)).toBeGreaterThan(50);
    });

    it('each compute all where they are not to share', async () => {
      for (const id of [1, 2]) worker.add(id, { promptTokenIds: prompt, cachePrompt: false });
      await until(() => [1, 2].every((id) => worker.finishOf(id) === 'length'));
      expect([1, 2].map((id) => worker.numCachedOf(id))).toEqual([0, 0]);
    });

    it('take over nothing of an end that is still open', async () => {
      const openEnd = [58, 59].map((index) => ({ text: '', extensions: [otherwise(prompt[index]!)] }));
      const job = { promptTokenIds: prompt, openEnd, maxTokens: 20 };
      for (const id of [1, 2]) worker.add(id, job);
      await until(() => [1, 2].every((id) => worker.finishOf(id) === 'length'));
      const alone = await cold(job);
      expect([1, 2].map((id) => worker.tokensOf(id))).toEqual([alone, alone]);
    });
  });

  it('looks for nothing and keeps nothing where a request does not want it', async () => {
    await worker.generate(1, { promptTokenIds: prompt, cachePrompt: false });
    expect(worker.context.kv.usage.keptBytes).toBe(0);
    await worker.generate(2, { promptTokenIds: prompt });
    await worker.generate(3, { promptTokenIds: prompt, cachePrompt: false });
    expect([1, 2, 3].map((id) => worker.numCachedOf(id))).toEqual([0, 0, 0]);
    const queried = worker.messages.flatMap((message) =>
      message.type === 'request-prefilled' ? [message.numQueriedTokens] : [],
    );
    expect(queried).toEqual([0, prompt.length, 0]);
  });

  it('computes all of a prompt whose log probabilities are wanted', async () => {
    await worker.generate(1, { promptTokenIds: prompt });
    await worker.generate(2, { promptTokenIds: prompt, promptLogprobs: true, numTopLogprobs: 0 });
    expect(worker.numCachedOf(2)).toBe(0);
    const numScored = worker.messages.flatMap((message) =>
      message.type === 'prompt-scored' ? message.tokens : [],
    ).length;
    expect(numScored).toBe(prompt.length - 1);
  });

  it('keeps nothing of a request that failed', async () => {
    const failing = worker.target.forward.bind(worker.target);
    worker.target.forward = async (cache, tokenIds) => {
      const output = await failing(cache, tokenIds);
      if (cache.length > 40) throw new Error('scripted failure');
      return output;
    };
    worker.add(1, { promptTokenIds: prompt });
    await until(() => worker.messages.some(({ type }) => type === 'request-failed'));
    await nextTick();
    expect(worker.context.kv.usage).toEqual({ runningBytes: 0, keptBytes: 0 });
  });

  it('waits for room and then runs, in the order of arrival', async () => {
    const small = new ScriptedWorker({ maxNumSeqs: 3, budgetBytes: 2 * CAPACITY });
    for (const id of [1, 2, 3]) small.add(id, { promptTokenIds: [id, 2, 3] });
    await until(() => small.messages.some(({ type }) => type === 'tokens-decided'));
    expect(small.context.kv.usage.runningBytes).toBe(2 * CAPACITY);
    await until(() => small.finishOf(3) === 'length');
    const order = small.messages.flatMap((message) =>
      message.type === 'request-started' || ('finish' in message && message.finish !== null)
        ? [`${message.type === 'request-started' ? 'start' : 'finish'} ${message.id}`]
        : [],
    );
    expect(order).toEqual(['start 1', 'finish 1', 'start 2', 'finish 2', 'start 3', 'finish 3']);
    await small.close();
  });

  it('gives every reservation back when requests are aborted at random moments', async () => {
    const random = randomNumbers(7);
    const reference = await cold({ promptTokenIds: prompt, maxTokens: 20 });
    const small = new ScriptedWorker({ maxNumSeqs: 3, budgetBytes: 7 * CAPACITY });
    for (let id = 1; id <= 200; id += 1) {
      small.add(id, {
        promptTokenIds: [...prompt.slice(0, 1 + random(60)), random(VOCAB_SIZE)],
        maxTokens: 1 + random(60),
        maxDraftTokens: random(4),
        cachePrompt: random(5) > 0,
      });
      for (let tick = random(12); tick > 0; tick -= 1) await nextTick();
      small.scheduler.abort(1 + random(id));
      small.scheduler.abort(id - random(2));
      const { runningBytes, keptBytes } = small.context.kv.usage;
      expect(runningBytes + keptBytes).toBeLessThanOrEqual(7 * CAPACITY);
    }
    for (let id = 1; id <= 200; id += 1) small.scheduler.abort(id);
    await until(() => small.context.kv.usage.runningBytes === 0);
    // Some never began, some were cut short in their prefill, some later, and some finished.
    const ids = Array.from({ length: 200 }, (_, index) => index + 1);
    const ends = ids.map((id) => {
      if (small.finishOf(id) === undefined)
        return small.messages.some((message) => message.type === 'request-started' && message.id === id)
          ? 'in its prefill'
          : 'waiting';
      return small.finishOf(id) ?? 'in a round';
    });
    expect(new Set(ends)).toEqual(new Set(['waiting', 'in its prefill', 'in a round', 'length']));
    const numCaches = small.pools.target.numInUse + small.pools.mtp.numInUse;
    expect(small.context.kv.usage.keptBytes).toBe(numCaches * CAPACITY);
    expect(small.messages.filter(({ type }) => type === 'request-failed')).toEqual([]);
    expect(await small.generate(1000, { promptTokenIds: prompt, maxTokens: 20 })).toEqual(reference);
    expect(small.numCachedOf(1000)).toBeGreaterThan(0);
    await small.close();
  });
});
