import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { defaultModelFolder } from '../../src/config.ts';
import { startEngine } from '../../src/engine/engine.ts';
import type { Engine } from '../../src/engine/generation.ts';
import type { ForetokenError } from '../../src/errors.ts';
import type { WorkerMessage } from '../../src/engine/protocol.ts';
import { PrometheusMetrics } from '../../src/metrics/prometheus.ts';
import { buildApp } from '../../src/server/app.ts';
import { EngineGate } from '../../src/server/engine-gate.ts';
import type { ErrorBody } from '../../src/server/error-body.ts';
import { collect, requestOf } from '../support/real-engine.ts';
import { parsePrometheusText } from '../support/prometheus-text.ts';
import { nextTick, until } from '../support/scripted-worker.ts';
import { ScriptedThread } from '../support/scripted-thread.ts';

const logger = pino({ level: 'silent' });
const folder = defaultModelFolder();

let threads: ScriptedThread[];
let metrics: PrometheusMetrics;
let engine: Engine;
let numGivenUp: number;
let onMessage: (message: WorkerMessage) => void;

async function start(): Promise<void> {
  threads = [];
  numGivenUp = 0;
  onMessage = () => {};
  metrics = new PrometheusMetrics();
  engine = await startEngine({
    modelFolder: folder,
    numThreads: 1,
    maxNumSeqs: 2,
    maxQueue: 20,
    speculation: 'auto',
    observer: metrics,
    logger,
    onGaveUp: () => (numGivenUp += 1),
    startWorker: () => {
      threads.push(new ScriptedThread(2, (message) => onMessage(message)));
      return threads.at(-1)!;
    },
  });
  metrics.watch(engine);
}

async function stop(): Promise<void> {
  await engine.close();
  metrics.close();
}

const request = (seed: number, given: Parameters<typeof requestOf>[0] | object = {}) =>
  requestOf({ prompt: [1, 2, 3, seed], maxTokens: 20, ...given });

/** The pause before the next worker, without waiting for it. */
async function awaitRestart(): Promise<void> {
  vi.runAllTimers();
  await until(() => engine.state === 'ready');
}

async function metric(name: string, labels: object = {}): Promise<number> {
  const { samples = [] } = parsePrometheusText(await metrics.text()).get(name) ?? {};
  const fitting = samples.filter((sample) =>
    Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  );
  return fitting.reduce((sum, { value }) => sum + value, 0);
}

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  await start();
});
afterEach(async () => {
  await stop();
  vi.useRealTimers();
});

describe('when the worker dies', () => {
  test('a stream that has begun fails, and those that have not come out as ever', async () => {
    const reference = await Promise.all(
      [1, 2, 3, 4].map(async (seed) => collect(engine.generate(request(seed)))),
    );
    const begun = engine.generate(request(1, { maxTokens: 100 }))[Symbol.asyncIterator]();
    const whole = collect(engine.generate(request(2, { isWhole: true })));
    const queued = [3, 4].map(async (seed) => collect(engine.generate(request(seed))));
    expect((await begun.next()).value).toMatchObject({ type: 'tokens-generated' });
    expect(engine.load()).toMatchObject({ numRunning: 2, numWaiting: 2 });
    threads[0]!.die(new Error('out of memory'));
    expect(engine.load()).toMatchObject({ numRunning: 0, numWaiting: 3, kvCacheUsage: 0 });
    const rest = async (): Promise<void> => {
      while ((await begun.next()).done !== true) continue;
    };
    await expect(rest()).rejects.toMatchObject({ code: 'engine_failed' });
    await awaitRestart();
    const answers = await Promise.all([whole, ...queued]);
    expect(answers.map(({ tokenIds }) => tokenIds)).toEqual(
      reference.slice(1).map(({ tokenIds }) => tokenIds),
    );
    await until(() => engine.load().kvCacheUsage === 0);
    expect(engine.load()).toMatchObject({ numRunning: 0, numWaiting: 0 });
    expect(await metric('foretoken_engine_restarts_total')).toBe(1);
    expect(await metric('vllm:request_success_total', { finished_reason: 'length' })).toBe(7);
    expect(await metric('vllm:request_success_total', { finished_reason: 'error' })).toBe(1);
  });

  test('a request can be aborted while there is none, and is not given to the next', async () => {
    const controller = new AbortController();
    const aborted = engine.generate(request(1), controller.signal)[Symbol.asyncIterator]().next();
    const other = collect(engine.generate(request(2)));
    threads[0]!.die();
    expect(engine.load().numWaiting).toBe(2);
    controller.abort();
    expect(await aborted).toMatchObject({ done: true });
    expect(engine.load().numWaiting).toBe(1);
    await awaitRestart();
    await other;
    expect(threads[1]!.received.map((message) => message.type)).toEqual(['request-add']);
    expect(await metric('vllm:request_success_total', { finished_reason: 'abort' })).toBe(1);
  });

  test('a request that kills two workers is given to no third one', async () => {
    onMessage = (message) => {
      if (message.type === 'request-started') threads.at(-1)!.die();
    };
    const deadly = collect(engine.generate(request(1)));
    await until(() => engine.state === 'loading');
    vi.runAllTimers();
    await expect(deadly).rejects.toMatchObject({ code: 'engine_failed' });
    expect(threads).toHaveLength(2);
    onMessage = () => {};
    await awaitRestart();
    expect((await collect(engine.generate(request(2)))).tokenIds).toHaveLength(20);
  });

  test('five times without a success in between, it gives up', async () => {
    for (let count = 0; count < 4; count += 1) {
      threads.at(-1)!.die();
      await awaitRestart();
    }
    const last = collect(engine.generate(request(1)));
    threads.at(-1)!.die();
    await expect(last).rejects.toMatchObject({ code: 'engine_failed' });
    expect([engine.state, numGivenUp, threads.length]).toEqual(['failed', 1, 5]);
    expect(() => engine.generate(request(1))).toThrow(expect.objectContaining({ code: 'engine_failed' }));
  });

  test('with a success in between, it never gives up', async () => {
    for (let count = 0; count < 12; count += 1) {
      threads.at(-1)!.die();
      await awaitRestart();
      await collect(engine.generate(request(count)));
    }
    expect([numGivenUp, threads.length]).toEqual([0, 13]);
  });

  test('clients are told to come back, the server is alive, and goes on afterwards', async () => {
    const gate = new EngineGate();
    const app = await buildApp({ gate, metrics, logger, version: '0', maxBodyBytes: 10_000 });
    gate.open(engine);
    const complete = async (body: object = {}) =>
      app.inject({ method: 'POST', url: '/v1/completions', payload: { prompt: [1, 2], ...body } });
    const text = (await complete({ temperature: 0 })).json<{ choices: unknown }>().choices;
    const running = complete({ temperature: 0 });
    const streaming = complete({ stream: true, max_tokens: 100, ignore_eos: true });
    onMessage = (message) => {
      // The second of them is the stream: its client has begun to read.
      if (message.type === 'tokens-decided' && message.id === 3) threads[0]!.die();
    };
    await until(() => engine.state === 'loading');
    onMessage = () => {};
    for (const refused of [await app.inject('/ready'), await complete()]) {
      expect(refused.statusCode).toBe(503);
      expect(refused.json<ErrorBody>().error.code).toBe('model_loading');
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    }
    expect((await app.inject('/health')).statusCode).toBe(200);
    expect((await app.inject('/v1/models')).statusCode).toBe(200);
    expect((await streaming).body).toContain('"code":"engine_failed"');
    await awaitRestart();
    expect((await app.inject('/ready')).statusCode).toBe(200);
    expect((await running).json<{ choices: unknown }>().choices).toEqual(text);
    await app.close();
  });
});

test('whenever workers die, every request ends once, as ever or with an error', async () => {
  const reference = new Map<number, readonly number[]>();
  for (let seed = 0; seed < 6; seed += 1)
    reference.set(seed, (await collect(engine.generate(request(seed)))).tokenIds);
  await stop();
  const deaths = fc.array(fc.nat({ max: 60 }), { maxLength: 4 });
  const wholes = fc.array(fc.boolean(), { minLength: 6, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(deaths, wholes, async (ticks, isWhole) => {
      await start();
      const outcomes: string[] = [];
      const answers = isWhole.map(async (whole, seed) => {
        const answer = await collect(engine.generate(request(seed, { isWhole: whole }))).catch(
          (error: unknown) => (error as ForetokenError).code,
        );
        const outcome = typeof answer === 'string' ? answer : answer.finish;
        outcomes.push(outcome);
        return typeof answer === 'string' ? reference.get(seed) : answer.tokenIds;
      });
      for (const numTicks of ticks) {
        for (let tick = 0; tick < numTicks; tick += 1) await nextTick();
        threads.at(-1)!.die();
        await awaitRestart();
      }
      expect(await Promise.all(answers)).toEqual([...reference.values()]);
      expect(outcomes.filter((outcome) => !['length', 'engine_failed'].includes(outcome))).toEqual([]);
      await until(() => engine.load().kvCacheUsage === 0);
      expect(engine.load()).toMatchObject({ numRunning: 0, numWaiting: 0 });
      const numFailed = outcomes.filter((outcome) => outcome === 'engine_failed').length;
      expect(await metric('vllm:request_success_total', { finished_reason: 'error' })).toBe(numFailed);
      expect(await metric('vllm:request_success_total', { finished_reason: 'length' })).toBe(6 - numFailed);
      await stop();
    }),
    { numRuns: 40 },
  );
  await start();
});
