import { afterEach, describe, expect, test } from 'vitest';
import type { ErrorBody } from '../../src/server/error-body.ts';
import { ApiKeys, parseApiKey } from '../../src/server/api-keys.ts';
import { EngineGate } from '../../src/server/engine-gate.ts';
import { SocketClient } from '../support/socket-client.ts';
import { testApp, type TestApp, type TestAppOptions } from '../support/test-app.ts';

let server: TestApp;
afterEach(() => server.close());

const keys = new ApiKeys(['alice', 'bob'].map((name) => parseApiKey(`sk-${name}`, name)!));
const headersOf = (name: string) => ({ authorization: `Bearer sk-${name}` });

async function start(options: TestAppOptions): Promise<TestApp> {
  server = await testApp(options);
  return server;
}

// Async, since an injected request only starts when it is awaited.
const complete = async (name: string | null, body: object = {}, from: object = {}) =>
  server.app.inject({
    method: 'POST',
    url: '/v1/completions',
    payload: { prompt: 'x', ...body },
    headers: name === null ? {} : headersOf(name),
    ...from,
  });

const openSocket = async (name: string): Promise<SocketClient> =>
  new SocketClient(await server.app.injectWS('/v1/responses', { headers: headersOf(name) }));

function expectLimited(response: Awaited<ReturnType<typeof complete>>): void {
  expect(response.statusCode).toBe(429);
  expect(response.json<ErrorBody>().error).toMatchObject({
    code: 'rate_limit_exceeded',
    type: 'rate_limit_error',
  });
  expect(Number(response.headers['retry-after'])).toBeGreaterThan(0);
}

describe('sequences at a time', () => {
  const long = { ignore_eos: true, max_tokens: 500 };

  test('are counted by key, over HTTP and on sockets together, and given back', async () => {
    const gate = new EngineGate({ maxConcurrentPerClient: 2 });
    const { engine } = await start({ roundMs: 10, gate, app: { keys } });
    const socket = await openSocket('alice');
    const running = complete('alice', long);
    socket.send({ type: 'response.create', input: 'x', ignore_eos: true, max_output_tokens: 900 });
    const { response } = await socket.takeType('response.created');
    await expect.poll(() => engine.load().numRunning).toBe(2);

    expectLimited(await complete('alice'));
    socket.send({ type: 'response.create', input: 'x' });
    expect(await socket.takeType('error')).toMatchObject({ code: 'rate_limit_exceeded' });
    expect((await complete('bob')).statusCode).toBe(200);

    socket.send({ type: 'response.cancel', response_id: response!.id });
    await socket.takeType('response.incomplete');
    await expect.poll(() => gate.numActive).toBe(1);
    expect((await complete('alice')).statusCode).toBe(200);
    expect((await running).statusCode).toBe(200);
    expect((await complete('alice', { n: 2 })).statusCode).toBe(200);
  });

  test('count each choice, and more choices than may ever run are refused for good', async () => {
    await start({ roundMs: 10, gate: new EngineGate({ maxConcurrentPerClient: 3 }), app: { keys } });
    const running = complete('alice', { ...long, n: 2 });
    await expect.poll(() => server.gate.numActive).toBe(1);
    expectLimited(await complete('alice', { n: 2 }));
    expect((await complete('alice', { n: 1 })).statusCode).toBe(200);
    const refused = await complete('bob', { n: 4 });
    expect(refused.statusCode).toBe(400);
    expect(refused.json<ErrorBody>().error).toMatchObject({ code: 'invalid_request', param: 'n' });
    await running;
  });
});

describe('requests a minute', () => {
  test('are counted by key, over HTTP and on sockets together', async () => {
    await start({ app: { keys, requestsPerMinute: 3 } });
    const socket = await openSocket('alice');
    expect((await complete('alice')).statusCode).toBe(200);
    expect((await socket.respond({ input: 'x' })).at(-1)!.type).toBe('response.completed');
    expect((await complete('alice', { temperature: 5 })).statusCode).toBe(400);
    expectLimited(await complete('alice'));
    expect((await socket.respond({ input: 'x' })).at(-1)).toMatchObject({
      type: 'error',
      code: 'rate_limit_exceeded',
    });
    expect((await complete('bob')).statusCode).toBe(200);
    const models = await server.app.inject({ url: '/v1/models', headers: headersOf('alice') });
    expect(models.statusCode).toBe(200);
  });

  test('are counted by address where no keys are set, IPv6 by network', async () => {
    await start({ app: { requestsPerMinute: 1 } });
    const from = (remoteAddress: string) => complete(null, {}, { remoteAddress });
    expect((await from('10.0.0.1')).statusCode).toBe(200);
    expectLimited(await from('10.0.0.1'));
    expectLimited(await from('::ffff:10.0.0.1'));
    expect((await from('10.0.0.2')).statusCode).toBe(200);
    expect((await from('2001:db8::1')).statusCode).toBe(200);
    expectLimited(await from('2001:db8::2'));
    expect((await from('2001:db8:0:1::1')).statusCode).toBe(200);
  });

  test.each([
    [[], 429],
    [['10.0.0.0/8'], 200],
    [['192.168.0.1'], 429],
  ])('go by X-Forwarded-For only behind trusted proxies (%j: %i)', async (trustedProxies, status) => {
    await start({ app: { requestsPerMinute: 1, trustedProxies } });
    const from = (client: string) =>
      complete(null, {}, { remoteAddress: '10.0.0.1', headers: { 'x-forwarded-for': client } });
    expect((await from('1.1.1.1')).statusCode).toBe(200);
    expect((await from('2.2.2.2')).statusCode).toBe(status);
  });

  test('are refused before the body is read', async () => {
    await start({ app: { requestsPerMinute: 1 } });
    expect((await complete(null)).statusCode).toBe(200);
    expectLimited(await complete(null, { prompt: 'x'.repeat(2 * 1024 * 1024) }));
  });
});
