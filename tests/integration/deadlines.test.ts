import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ErrorBody } from '../../src/server/error-body.ts';
import { generationRequest } from '../support/generation-request.ts';
import { SocketClient } from '../support/socket-client.ts';
import { sseEvents } from '../support/sse-events.ts';
import { testApp, type TestApp, type TestAppOptions } from '../support/test-app.ts';

const requestTimeoutMs = 100_000;

let server: TestApp;
let numRounds: number;
// The scripted engine's rounds go on in real time; only deadlines pass when the test says so.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(async () => {
  vi.useRealTimers();
  await server.close();
});

async function start(options: TestAppOptions): Promise<TestApp> {
  numRounds = 0;
  const observer = {
    roundFinished: () => (numRounds += 1),
    requestFinished: () => {},
    workerRestarted: () => {},
  };
  server = await testApp({ observer, ...options, app: { requestTimeoutMs } });
  return server;
}

// Async, since an injected request only starts when it is awaited.
const complete = async (body: object = {}) =>
  server.app.inject({
    method: 'POST',
    url: '/v1/completions',
    payload: { prompt: 'x', ignore_eos: true, max_tokens: 900, ...body },
  });

async function expectNothingHeld(): Promise<void> {
  await expect.poll(() => server.gate.numActive).toBe(0);
  await expect.poll(() => server.engine.load()).toMatchObject({ numRunning: 0, numWaiting: 0 });
}

const never = new Promise<void>(() => {});

describe('past its deadline', () => {
  test('a completion is refused with 504 and aborted', async () => {
    await start({ roundMs: 10 });
    const running = complete();
    await expect.poll(() => numRounds).toBeGreaterThan(1);
    vi.advanceTimersByTime(requestTimeoutMs);
    const refused = await running;
    expect(refused.statusCode).toBe(504);
    expect(refused.json<ErrorBody>().error).toEqual({
      message: 'the request was not done 100 s after its arrival',
      type: 'server_error',
      param: null,
      code: 'deadline_exceeded',
    });
    await expectNothingHeld();
    expect((await complete({ max_tokens: 2 })).statusCode).toBe(200);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('a stream ends with an error event', async () => {
    await start({ roundMs: 10 });
    const running = complete({ stream: true, n: 2 });
    await expect.poll(() => numRounds).toBeGreaterThan(5);
    vi.advanceTimersByTime(requestTimeoutMs);
    const response = await running;
    expect(response.statusCode).toBe(200);
    const events = sseEvents(response.body);
    expect(events.length).toBeGreaterThan(2);
    expect(events.at(-1)).toMatchObject({ error: { code: 'deadline_exceeded' } });
    expect(events.slice(0, -1).every(({ choices }) => choices.length === 1)).toBe(true);
    await expectNothingHeld();
  });

  test('a stream that has not begun is refused with 504', async () => {
    await start({ hold: never });
    const running = complete({ stream: true });
    await expect.poll(() => server.engine.load().numRunning).toBe(1);
    vi.advanceTimersByTime(requestTimeoutMs);
    const refused = await running;
    expect([refused.statusCode, refused.json<ErrorBody>().error.code]).toEqual([504, 'deadline_exceeded']);
    await expectNothingHeld();
  });

  test('a request that waits is refused without its turn', async () => {
    const { gate, engine } = await start({ hold: never, maxRunning: 1 });
    const abort = new AbortController();
    const first = gate.generate([generationRequest()], { client: 'first', signal: abort.signal });
    void first[Symbol.asyncIterator]().next();
    await expect.poll(() => engine.load().numRunning).toBe(1);
    const waiting = complete();
    await expect.poll(() => engine.load().numWaiting).toBe(1);
    vi.advanceTimersByTime(requestTimeoutMs);
    const refused = await waiting;
    expect([refused.statusCode, refused.json<ErrorBody>().error.code]).toEqual([504, 'deadline_exceeded']);
    expect(engine.load()).toMatchObject({ numRunning: 1, numWaiting: 0 });
    expect(gate.numActive).toBe(1);
    abort.abort();
  });

  test('a response on a socket fails, and the socket goes on', async () => {
    await start({ roundMs: 10 });
    const client = new SocketClient(await server.app.injectWS('/v1/responses'));
    const running = client.respond({ input: 'x', ignore_eos: true, max_output_tokens: 900 });
    await expect.poll(() => numRounds).toBeGreaterThan(1);
    vi.advanceTimersByTime(requestTimeoutMs);
    const events = await running;
    expect(events.at(-1)).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'deadline_exceeded' } },
    });
    expect(events.filter(({ type }) => type === 'response.output_text.delta').length).toBeGreaterThan(1);
    await expectNothingHeld();
    const short = await client.respond({ input: 'x', ignore_eos: true, max_output_tokens: 2 });
    expect(short.at(-1)!.type).toBe('response.incomplete');
  });
});

test('a full queue is answered while those in it still wait', async () => {
  const { engine } = await start({ hold: never, maxRunning: 1, maxQueue: 1 });
  const waiting = [complete(), complete()];
  await expect.poll(() => engine.load().numWaiting).toBe(1);
  const refused = await complete();
  expect([refused.statusCode, refused.headers['retry-after']]).toEqual([429, '1']);
  expect(engine.load()).toMatchObject({ numRunning: 1, numWaiting: 1 });
  vi.advanceTimersByTime(requestTimeoutMs);
  const statuses = (await Promise.all(waiting)).map(({ statusCode }) => statusCode);
  expect(statuses).toEqual([504, 504]);
});
