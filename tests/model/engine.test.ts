import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/engine/generation.ts';
import { collect, requestOf, speculationOf, startRealEngine } from '../support/real-engine.ts';
import { samplingParams } from '../support/sampling.ts';

const PROMPT = `import { readFile } from 'node:fs/promises';

export async function readJson(path: string) {
`;

describe('engine', () => {
  let engine: Engine;

  beforeAll(async () => {
    engine = await startRealEngine();
  });

  afterAll(async () => {
    await engine.close();
  });

  it('reports what the events say', async () => {
    const { tokens, report } = await collect(
      engine.generate(requestOf({ prompt: PROMPT, maxTokens: 64, speculation: speculationOf(3) })),
    );
    expect(report.numCompletionTokens).toBe(64);
    expect(tokens.filter((token) => token.source === 'draft')).toHaveLength(
      report.speculation.numAcceptedDraftTokens,
    );
    expect(report.speculation.numAcceptedDraftTokens).toBeGreaterThan(0);
    expect(report.baseline?.method).toBe('calibrated');
    const { draftSeconds, verifySeconds, sampleSeconds, decodeSeconds } = report.timings;
    expect(draftSeconds + verifySeconds + sampleSeconds).toBeLessThanOrEqual(decodeSeconds);
  });

  it('ends before a stop string and counts no token behind it', async () => {
    const whole = await collect(engine.generate(requestOf({ prompt: PROMPT, maxTokens: 64 })));
    const stop = whole.text.slice(30, 36);
    const stopped = await collect(
      engine.generate(requestOf({ prompt: PROMPT, maxTokens: 64, stop: [stop] })),
    );
    expect(stopped.text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
    expect(stopped.finish).toBe('stop');
    expect(stopped.report.numCompletionTokens).toBe(stopped.tokenIds.length);
    expect(whole.tokenIds.slice(0, stopped.tokenIds.length)).toEqual(stopped.tokenIds);
  });

  it('gives log probabilities that are the softmax of the same distribution at every depth', async () => {
    const [off, on] = await Promise.all(
      [0, 3].map(async (depth) =>
        collect(
          engine.generate(requestOf({ prompt: PROMPT, logprobs: 2, speculation: speculationOf(depth) })),
        ),
      ),
    );
    expect(on!.tokens.map(({ logprob }) => logprob)).toEqual(off!.tokens.map(({ logprob }) => logprob));
    for (const { tokenId, logprob, topLogprobs } of on!.tokens) {
      expect(topLogprobs).toHaveLength(2);
      expect(topLogprobs![0]).toMatchObject({ tokenId, logprob });
      expect(topLogprobs![1]!.logprob).toBeLessThanOrEqual(logprob!);
      expect(logprob).toBeLessThanOrEqual(0);
    }
  });

  it('echoes the prompt with log probabilities, none for its first token', async () => {
    const { events } = await collect(
      engine.generate(requestOf({ prompt: PROMPT, echo: true, logprobs: 1, maxTokens: 1 })),
    );
    const [first] = events;
    if (first?.type !== 'prompt-evaluated') throw new Error('expected the prompt first');
    expect(first.text).toBe(PROMPT);
    expect(first.tokens.map((token) => token.text).join('')).toBe(PROMPT);
    expect(first.tokens[0]!.logprob).toBeNull();
    expect(
      first.tokens.slice(1).every((token) => typeof token.logprob === 'number' && token.logprob < 0),
    ).toBe(true);
  });

  it('fills in the middle', async () => {
    const { report, text } = await collect(
      engine.generate(
        requestOf({ prompt: 'const sum = (a: number, b: number) => ', suffix: ';\n', ignoreEos: false }),
      ),
    );
    expect(report.numPromptTokens).toBeGreaterThan(3);
    expect(text).not.toContain('<|');
  });

  it('stops an aborted request and serves the next', async () => {
    const controller = new AbortController();
    let numEvents = 0;
    for await (const event of engine.generate(
      requestOf({ prompt: PROMPT, maxTokens: 1500 }),
      controller.signal,
    )) {
      expect(event.type).toBe('tokens-generated');
      numEvents += 1;
      if (numEvents === 3) controller.abort();
    }
    expect(numEvents).toBeLessThan(1500 / 9);
    expect(engine.load()).toMatchObject({ numRunning: 0, numWaiting: 0 });
    while (engine.load().kvCacheUsage > 0) await sleep(1);
    expect(
      (await collect(engine.generate(requestOf({ prompt: PROMPT, maxTokens: 4 })))).tokenIds,
    ).toHaveLength(4);
  });

  it.each([
    ['context_length_exceeded', { maxTokens: 100_000 }],
    ['invalid_request', { prompt: [1, 999_999] }],
    ['invalid_request', { sampling: samplingParams({ logitBias: new Map([[999_999, 1]]) }) }],
    ['invalid_request', { speculation: speculationOf(99) }],
  ])('refuses with %s before any work', (code, given) => {
    expect(() => engine.generate(requestOf({ prompt: PROMPT, ...given }))).toThrow(
      expect.objectContaining({ code }),
    );
  });

  it('refuses more requests than may wait', async () => {
    const small = await startRealEngine({ maxNumSeqs: 1, maxQueue: 1 });
    const running = [1, 2].map(async () =>
      collect(small.generate(requestOf({ prompt: PROMPT, maxTokens: 8 }))),
    );
    expect(() => small.generate(requestOf({ prompt: PROMPT }))).toThrow(
      expect.objectContaining({ code: 'queue_full' }),
    );
    await Promise.all(running);
    expect(
      (await collect(small.generate(requestOf({ prompt: PROMPT, maxTokens: 2 })))).tokenIds,
    ).toHaveLength(2);
    await small.close();
  });

  it('keeps the main thread free while a long prompt is prefilled', async () => {
    const generation = collect(
      engine.generate(requestOf({ prompt: 'const a = [1, 2, 3];\n'.repeat(70), maxTokens: 2 })),
    );
    let numTicks = 0;
    const timer = setInterval(() => (numTicks += 1), 1);
    const { report } = await generation;
    clearInterval(timer);
    expect(report.numPromptTokens).toBeGreaterThan(900);
    expect(numTicks).toBeGreaterThan(5);
  });

  it('refuses a folder that is no model, in one sentence', async () => {
    await expect(startRealEngine({ modelFolder: '/nonexistent' })).rejects.toMatchObject({
      code: 'invalid_model',
      message: expect.stringContaining('/nonexistent'),
    });
  });
});
