import { once } from 'node:events';
import { connect } from 'node:net';
import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { ErrorBody } from '../../src/server/error-body.ts';
import { ApiKeys, parseApiKey } from '../../src/server/api-keys.ts';
import { SocketClient } from '../support/socket-client.ts';
import { testApp, type TestApp, type TestAppOptions } from '../support/test-app.ts';

const alice = parseApiKey('sk-alice', 'alice')!;
const bearer = { authorization: 'Bearer sk-alice' };

let server: TestApp;
let keys: ApiKeys;
afterEach(() => server.close());

async function start(app: TestAppOptions['app'] = {}): Promise<TestApp> {
  keys = new ApiKeys([alice, parseApiKey('sk-bob', 'bob')!]);
  server = await testApp({ app: { keys, ...app } });
  return server;
}

const protectedRoutes = [
  ['POST', '/v1/completions'],
  ['GET', '/v1/completions'],
  ['POST', '/v1/chat/completions'],
  ['GET', '/v1/responses'],
  ['POST', '/v1/responses'],
  ['GET', '/v1/models'],
  ['GET', '/v1/models/other'],
  ['GET', `/v1/models/${'x'.repeat(200)}`],
  ['GET', '/metrics'],
  ['GET', '/'],
  ['GET', '/playground/playground.js'],
  ['GET', '/docs'],
  ['GET', '/docs/'],
  ['GET', '/docs/json'],
  ['GET', '/docs/static/index.html'],
  ['GET', '/openapi.json'],
  ['GET', '/health/'],
  ['GET', '/nothing'],
  ['OPTIONS', '/v1/completions'],
  ['DELETE', '/v1/models'],
] as const;

describe('where keys are set', () => {
  test('every route, of this server or not, gives the same 401 to whoever shows none', async () => {
    const { app } = await start();
    const answers = new Set<string>();
    for (const [method, url] of protectedRoutes) {
      const response = await app.inject({ method, url });
      expect([method, url, response.statusCode]).toEqual([method, url, 401]);
      expect(response.headers['www-authenticate']).toBe('Bearer');
      const { 'content-length': _length, date: _date, ...headers } = response.headers;
      answers.add(JSON.stringify({ headers, body: response.json<ErrorBody>() }));
    }
    expect(answers.size).toBe(1);
    expect(JSON.parse([...answers][0]!).body).toEqual({
      error: {
        message: expect.stringContaining('Authorization: Bearer KEY'),
        type: 'invalid_request_error',
        param: null,
        code: 'invalid_api_key',
      },
    });
  });

  test.each([
    ['Bearer sk-alice', 200],
    ['bearer   sk-alice', 200],
    ['Bearer sk-bob', 200],
    ['Bearer sk-eve', 401],
    ['Bearer sk-alice sk-bob', 401],
    ['Basic sk-alice', 401],
    ['sk-alice', 401],
    ['Bearer ', 401],
    ['', 401],
  ])('%j gets %i', async (authorization, status) => {
    const { app } = await start();
    const response = await app.inject({ url: '/v1/models', headers: { authorization } });
    expect(response.statusCode).toBe(status);
    expect(response.body.includes('invalid_api_key')).toBe(status === 401);
    expect(response.body).not.toContain('sk-');
  });

  test('a URL that is none gives 401 too', async () => {
    const { app } = await start();
    expect((await app.inject('/%E0%A4%A')).statusCode).toBe(401);
    expect((await app.inject({ url: '/%E0%A4%A', headers: bearer })).statusCode).toBe(400);
  });

  test('probes need none', async () => {
    const { app } = await start();
    for (const url of ['/health', '/ready']) expect((await app.inject(url)).statusCode).toBe(200);
  });

  test('a valid one gets what there is, and 404 where there is nothing', async () => {
    const { app } = await start();
    const payload = { prompt: 'x' };
    const completion = await app.inject({ method: 'POST', url: '/v1/completions', headers: bearer, payload });
    expect(completion.statusCode).toBe(200);
    const nothing = await app.inject({ url: '/nothing', headers: bearer });
    expect(nothing.json<ErrorBody>().error.code).toBe('route_not_found');
    const document = await app.inject({ url: '/openapi.json', headers: bearer });
    expect(document.json()).toMatchObject({ security: [{ key: [] }] });
  });

  test('public routes are open, and only they', async () => {
    const { app } = await start({ publicRoutes: ['metrics'] });
    expect((await app.inject('/metrics')).statusCode).toBe(200);
    expect((await app.inject('/docs/')).statusCode).toBe(401);
    await server.close();
    await start({ publicRoutes: ['docs'] });
    const open = ['/', '/playground/playground.js', '/docs/', '/docs/static/swagger-ui.css', '/docs/json'];
    for (const url of [...open, '/openapi.json']) expect((await server.app.inject(url)).statusCode).toBe(200);
    for (const url of ['/metrics', '/v1/models', '/docs/nothing', '/docsx', '/playground/nothing.js'])
      expect([url, (await server.app.inject(url)).statusCode]).toEqual([url, 401]);
  });

  test('a body is not read before its key', async () => {
    const { app } = await start();
    const { port } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      'POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n',
    );
    const [data] = await once(socket, 'data');
    expect(String(data)).toMatch(/^HTTP\/1\.1 401 /);
    socket.destroy();
  });

  test('no key gets into the log', async () => {
    let log = '';
    const logger = pino({ level: 'trace' }, { write: (line) => (log += line) });
    const { app } = await start({ logger });
    await app.inject({ url: '/v1/models', headers: bearer });
    await app.inject({ url: '/nothing', headers: { authorization: 'Bearer sk-eve' } });
    await app.inject({ url: '/%E0%A4%A', headers: { authorization: 'Bearer sk-eve' } });
    const payload = '{"prompt": ';
    await app.inject({ method: 'POST', url: '/v1/completions', headers: bearer, payload });
    expect(log).toContain('"keyName":"alice"');
    expect(log).not.toContain('sk-');
  });
});

describe('a socket', () => {
  test('is not opened without a valid key', async () => {
    const { app } = await start();
    const url = (await app.listen({ host: '127.0.0.1', port: 0 })).replace('http', 'ws');
    for (const path of ['/v1/responses', '/nothing']) {
      for (const headers of [{}, { authorization: 'Bearer sk-eve' }]) {
        const socket = new WebSocket(url + path, { headers });
        socket.on('error', () => {});
        const [, response] = await once(socket, 'unexpected-response');
        expect(response.statusCode).toBe(401);
      }
    }
    expect(app.websocketServer.clients.size).toBe(0);
  });

  test('takes the key of the openai client', async () => {
    const { app } = await start();
    const baseURL = `${await app.listen({ host: '127.0.0.1', port: 0 })}/v1`;
    const socket = new ResponsesWS(new OpenAI({ baseURL, apiKey: 'sk-bob' }));
    socket.send({ type: 'response.create', input: 'x' });
    await new Promise<void>((resolve, reject) => {
      socket.on('response.completed', () => resolve());
      socket.on('error', reject);
    });
    socket.close();
    const refused = new OpenAI({ baseURL, apiKey: 'sk-eve', maxRetries: 0 }).models.list();
    await expect(refused).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' });
  });

  test('starts nothing more once its key is taken away', async () => {
    const { app } = await start();
    const client = new SocketClient(await app.injectWS('/v1/responses', { headers: bearer }));
    expect((await client.respond({ input: 'x' })).at(-1)!.type).toBe('response.completed');
    keys.replace([parseApiKey('sk-bob')!]);
    expect((await client.respond({ input: 'x' })).at(-1)).toMatchObject({
      type: 'error',
      code: 'invalid_api_key',
    });
    keys.replace([alice]);
    expect((await client.respond({ input: 'x' })).at(-1)!.type).toBe('response.completed');
  });
});
