import { afterEach, describe, expect, test } from 'vitest';
import type { ErrorBody } from '../../src/server/error-body.ts';
import { testApp, type TestApp, type TestAppOptions } from '../support/test-app.ts';

let server: TestApp | undefined;
afterEach(() => server?.close());

async function start(options?: TestAppOptions): Promise<TestApp> {
  server = await testApp(options);
  return server;
}

// Async, since an injected request only starts when it is awaited.
const complete = async (app: TestApp['app'], body: object = {}) =>
  app.inject({ method: 'POST', url: '/v1/completions', payload: { prompt: 'x', ...body } });

describe('while the model loads', () => {
  test('is alive but not ready, and says when to come back', async () => {
    const { app, gate, engine } = await start({ loading: true });
    expect((await app.inject('/health')).statusCode).toBe(200);
    for (const refused of [await app.inject('/ready'), await complete(app), await app.inject('/v1/models')]) {
      expect(refused.statusCode).toBe(503);
      expect(refused.json<ErrorBody>().error).toMatchObject({ code: 'model_loading', type: 'server_error' });
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    }
    expect((await app.inject('/metrics')).statusCode).toBe(200);
    gate.open(engine);
    expect((await app.inject('/ready')).json()).toEqual({ status: 'ready' });
    expect((await complete(app)).statusCode).toBe(200);
  });
});

describe('while draining', () => {
  test('refuses new requests and finishes running ones', async () => {
    let release: (() => void) | undefined;
    const hold = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { app, gate } = await start({ hold });
    const running = complete(app, { max_tokens: 10, ignore_eos: true });
    await expect.poll(() => server!.engine.load().numRunning).toBe(1);
    gate.startDraining();
    const idle = gate.whenIdle();
    for (const refused of [await app.inject('/ready'), await complete(app)]) {
      expect(refused.statusCode).toBe(503);
      expect(refused.json<ErrorBody>().error.code).toBe('server_draining');
      expect(refused.headers['retry-after']).toBeDefined();
    }
    expect((await app.inject('/health')).statusCode).toBe(200);
    release!();
    await idle;
    expect((await running).json()).toMatchObject({ usage: { completion_tokens: 10 } });
  });
});

describe('when the drain has come to its end', () => {
  test('still says that the server is shutting down', async () => {
    const { app, gate, engine } = await start();
    gate.startDraining();
    await engine.close();
    for (const refused of [await app.inject('/ready'), await complete(app)]) {
      expect(refused.statusCode).toBe(503);
      expect(refused.json<ErrorBody>().error.code).toBe('server_draining');
    }
  });

  test('refuses in its own words while it closes', async () => {
    let goOn: (() => void) | undefined;
    const hold = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const { app, gate } = await start({ beforeReady: (built) => built.addHook('preClose', () => hold) });
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    gate.startDraining();
    const closed = app.close();
    const refused = await fetch(`${url}/ready`).finally(goOn);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ error: { code: 'server_draining' } });
    await closed;
  });
});

describe('when the engine has died', () => {
  test('is neither alive nor ready', async () => {
    const { app, engine } = await start();
    await engine.close();
    for (const refused of [await app.inject('/health'), await app.inject('/ready'), await complete(app)]) {
      expect(refused.statusCode).toBe(503);
      expect(refused.json<ErrorBody>().error.code).toBe('engine_failed');
    }
  });
});

describe('when the queue is full', () => {
  test('refuses with 429 and takes requests again afterwards', async () => {
    const { app } = await start({ maxRunning: 1, maxQueue: 1, roundMs: 5 });
    const answers = await Promise.all(Array.from({ length: 5 }, () => complete(app)));
    const refused = answers.filter(({ statusCode }) => statusCode === 429);
    expect(answers.filter(({ statusCode }) => statusCode === 200)).toHaveLength(2);
    expect(refused).toHaveLength(3);
    expect(refused[0]!.headers['retry-after']).toBe('1');
    expect(refused[0]!.json<ErrorBody>().error).toMatchObject({
      code: 'queue_full',
      type: 'rate_limit_error',
    });
    expect((await complete(app)).statusCode).toBe(200);
  });

  test('admits all choices of a request or none', async () => {
    const { app, engine, gate } = await start({ maxRunning: 1, maxQueue: 2 });
    expect((await complete(app, { n: 4 })).statusCode).toBe(429);
    await gate.whenIdle();
    expect(engine.load()).toMatchObject({ numRunning: 0, numWaiting: 0 });
    expect((await complete(app, { n: 3 })).statusCode).toBe(200);
  });
});
