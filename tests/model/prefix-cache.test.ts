import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prompts } from '../../scripts/bench/prompts.ts';
import { defaultModelFolder } from '../../src/config.ts';
import type { Engine } from '../../src/engine/generation.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import {
  collect,
  requestOf,
  speculationOf,
  startRealEngine,
  type Collected,
} from '../support/real-engine.ts';
import { samplingParams } from '../support/sampling.ts';

const samplings = {
  greedy: samplingParams(),
  sampled: samplingParams({ temperature: 0.8, seed: 3, topP: 0.95, repetitionPenalty: 1.1 }),
};
const NUM_TOKENS = 24;

async function idle(engine: Engine): Promise<void> {
  while (engine.load().kvCacheUsage > 0) await sleep(1);
}

/** A long program, as token ids. */
async function programIds(): Promise<number[]> {
  const tokenizer = await loadTokenizer(defaultModelFolder());
  return tokenizer.encode(prompts.map(({ text }) => text).join('\n'));
}

describe('the prefix cache, with the shipped weights', () => {
  let engine: Engine;
  let ids: number[];

  beforeAll(async () => {
    // All that a test sends fits into the queue, however slow the machine.
    engine = await startRealEngine({ kvCacheMib: 64, maxQueue: 200 });
    ids = await programIds();
  });

  afterAll(async () => {
    await engine.close();
  });

  /** Differs from the program at every position, and from itself at another `shift`. */
  const otherwise = (from: number, to: number, shift: number): number[] =>
    ids.slice(from, to).map((tokenId) => (tokenId + 1000 + shift) % engine.model.vocabSize);
  let numShifts = 0;

  describe.each(Object.entries(samplings))('%s', (_, sampling) => {
    it.each([0, 1, 3])('keeps the text, with %i drafts, wherever the prompts part', async (depth) => {
      const generate = async (prompt: readonly number[], cachePrompt = true): Promise<Collected> => {
        const speculation = speculationOf(depth);
        return await collect(
          engine.generate(requestOf({ prompt, maxTokens: NUM_TOKENS, sampling, speculation, cachePrompt })),
        );
      };
      const known = ids.slice(0, 200);
      const { tokenIds: output } = await generate(known, false);
      const splits = [1, 2, 3, 63, 64, 65, 66, 129, 199, 200];
      for (const split of splits) {
        await idle(engine);
        await generate(known);
        await idle(engine);
        numShifts += 1;
        const prompt = [...ids.slice(0, split), ...otherwise(split, split + 20 + (split % 7), numShifts)];
        const warm = await generate(prompt);
        expect(warm.report.numCachedTokens).toBe(split - 1);
        const cold = await generate(prompt, false);
        expect(cold.report.numCachedTokens).toBe(0);
        expect(warm.tokenIds).toEqual(cold.tokenIds);
      }
      // A prompt that goes on with the output, into what the rounds have written.
      for (const numMore of [1, 2, NUM_TOKENS]) {
        await generate(known);
        await idle(engine);
        const prompt = [...known, ...output.slice(0, numMore)];
        const warm = await generate(prompt);
        expect(warm.report.numCachedTokens).toBe(prompt.length - 1);
        expect(warm.tokenIds).toEqual((await generate(prompt, false)).tokenIds);
      }
    });
  });

  describe.each(Object.entries(samplings))('%s', (_, sampling) => {
    it('keeps the text where what was answered before is verified, however a prompt goes on with it', async () => {
      const known = ids.slice(700, 900);
      const speculation = speculationOf(8, true);
      const generate = async (prompt: readonly number[], cachePrompt = true): Promise<Collected> => {
        await idle(engine);
        return await collect(
          engine.generate(requestOf({ prompt, maxTokens: 60, sampling, speculation, cachePrompt })),
        );
      };
      const { tokenIds: output } = await generate(known, false);
      expect((await generate(known)).tokenIds).toEqual(output);
      const again = await generate(known);
      expect(again.tokenIds).toEqual(output);
      expect(again.report.speculation.earlierText.numAcceptedDraftTokens).toBeGreaterThan(30);
      const taken = [...known, ...output.slice(0, 20)];
      const warm = await generate(taken);
      expect(warm.report.speculation.earlierText.numAcceptedDraftTokens).toBeGreaterThan(20);
      expect(warm.tokenIds).toEqual((await generate(taken, false)).tokenIds);
      const parted = [...known, ...output.slice(0, 5), ...otherwise(0, 2, 0)];
      expect((await generate(parted)).tokenIds).toEqual((await generate(parted, false)).tokenIds);
    });
  });

  it('keeps the text when each key stroke cancels what the one before has begun', async () => {
    const sampling = samplings.sampled;
    for (let length = 600; length < 640; length += 2) {
      const controller = new AbortController();
      const request = requestOf({ prompt: ids.slice(0, length), maxTokens: 200, sampling });
      let numEvents = 0;
      for await (const event of engine.generate(request, controller.signal)) {
        numEvents += event.type === 'tokens-generated' ? 1 : 0;
        if (numEvents > length % 5) controller.abort();
      }
    }
    await idle(engine);
    const request = { prompt: ids.slice(0, 640), maxTokens: NUM_TOKENS, sampling };
    const warm = await collect(engine.generate(requestOf(request)));
    expect(warm.report.numCachedTokens).toBeGreaterThan(600);
    const cold = await collect(engine.generate(requestOf({ ...request, cachePrompt: false })));
    expect(warm.tokenIds).toEqual(cold.tokenIds);
  });

  it('keeps the text of requests that run side by side with the same beginning', async () => {
    const requests = [350, 360, 370, 380, 390].map((length) =>
      requestOf({ prompt: [...ids.slice(100, length), 7], maxTokens: 60, sampling: samplings.sampled }),
    );
    const together = await Promise.all(
      requests.map(async (request) => await collect(engine.generate(request))),
    );
    // All but one have most of it from others.
    expect(together.reduce((sum, { report }) => sum + report.numCachedTokens, 0)).toBeGreaterThan(900);
    for (const [index, request] of requests.entries()) {
      const cold = await collect(engine.generate({ ...request, cachePrompt: false }));
      expect(together[index]!.tokenIds).toEqual(cold.tokenIds);
    }
  });

  it('replays a request that took over its prompt to the same tokens, from nothing', async () => {
    const prompt = ids.slice(0, 500);
    const speculation = { ...speculationOf(3), measureBaseline: true };
    for (const numCached of [0, 499]) {
      const request = requestOf({ prompt: [5, ...prompt], sampling: samplings.sampled, speculation });
      const { report } = await collect(engine.generate(request));
      expect(report.numCachedTokens).toBe(numCached === 0 ? 0 : 500);
      expect(report.baseline).toMatchObject({ method: 'measured', identical: true });
      await idle(engine);
    }
  });

  it('has all memory back after 200 requests that were aborted at random moments', async () => {
    const aborted = Array.from({ length: 200 }, async (_, index) => {
      await sleep(index * 10);
      const prompt = ids.slice(0, 20 + ((index * 53) % 400));
      const controller = new AbortController();
      const abortSoon = (): void => void setTimeout(() => controller.abort(), (index * 37) % 23);
      // Before anything has come, or a moment after so many events.
      const numEvents = index % 5;
      const events: string[] = [];
      const generation = engine.generate(requestOf({ prompt, maxTokens: 300 }), controller.signal);
      if (numEvents === 0) controller.abort();
      for await (const event of generation) {
        events.push(event.type);
        if (events.length === numEvents) abortSoon();
      }
      return events;
    });
    const events = await Promise.all(aborted);
    // Some were cut short while they waited or in their prefill, some later.
    expect(events.filter((types) => types.length === 0).length).toBeGreaterThan(10);
    expect(events.filter((types) => types.length > 1).length).toBeGreaterThan(10);
    await idle(engine);
    expect(engine.load()).toMatchObject({ numRunning: 0, numWaiting: 0, kvCacheUsage: 0 });
    expect(engine.load().prefixCacheUsage).toBeGreaterThan(0);
    expect(engine.load().prefixCacheUsage).toBeLessThanOrEqual(1);
  });
});

describe('a server with 4 MiB of KV memory, 256 tokens', () => {
  let engine: Engine;
  let ids: number[];

  beforeAll(async () => {
    engine = await startRealEngine({ kvCacheMib: 4 });
    ids = (await programIds()).slice(0, 60);
  });

  afterAll(async () => {
    await engine.close();
  });

  it('refuses what can never fit, with what it needs and what there is', () => {
    expect(() => engine.generate(requestOf({ prompt: ids, maxTokens: 257 - ids.length }))).toThrow(
      expect.objectContaining({
        code: 'kv_cache_exceeded',
        param: 'max_tokens',
        message: expect.stringMatching(/needs 6\.25 MiB .* 257 tokens .* has 4 MiB, enough for 256 tokens/),
      }),
    );
  });

  it('generates as many as fit where a request does not say', async () => {
    const { maxTokens: _, ...request } = requestOf({ prompt: ids });
    const { report } = await collect(engine.generate(request));
    expect(report.numCompletionTokens).toBe(256 - ids.length);
  });

  it('lets requests wait for memory, and serves them all', async () => {
    const generations = [1, 2, 3, 4].map(async (own) =>
      collect(engine.generate(requestOf({ prompt: [own, ...ids], maxTokens: 256 - ids.length - 1 }))),
    );
    await sleep(20);
    expect(engine.load().numRunning).toBeLessThanOrEqual(1);
    for (const { report } of await Promise.all(generations))
      expect(report.numCompletionTokens).toBe(255 - ids.length);
  });
});

it('a server without a prefix cache keeps nothing', async () => {
  const engine = await startRealEngine({ prefixCache: false });
  for (let count = 0; count < 2; count += 1) {
    const { report } = await collect(engine.generate(requestOf({ prompt: 'const a = 1;\n', maxTokens: 2 })));
    expect([report.numQueriedTokens, report.numCachedTokens]).toEqual([0, 0]);
  }
  await idle(engine);
  expect(engine.load().prefixCacheUsage).toBe(0);
  await engine.close();
});
