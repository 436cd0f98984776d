import { afterEach, describe, expect, test } from 'vitest';
import { ApiKeys, parseApiKey } from '../../src/server/api-keys.ts';
import { testApp, type TestApp, type TestAppOptions } from '../support/test-app.ts';

let server: TestApp;
afterEach(() => server.close());

async function start(app: TestAppOptions['app'] = {}): Promise<TestApp['app']> {
  server = await testApp({ app });
  return server.app;
}

const payload = { prompt: 'x' };
const keys = new ApiKeys([parseApiKey('sk-one')!]);
const preflight = {
  method: 'OPTIONS',
  url: '/v1/completions',
  headers: {
    origin: 'https://a.example',
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization,content-type',
  },
} as const;

describe('answers', () => {
  test.each([
    ['GET', '/v1/models', 200],
    ['POST', '/v1/completions', 200],
    ['GET', '/nothing', 404],
  ] as const)('to %s %s are nothing to show', async (method, url, status) => {
    const app = await start();
    const { headers, statusCode } = await app.inject({
      method,
      url,
      ...(method === 'POST' ? { payload } : {}),
    });
    expect(statusCode).toBe(status);
    expect(headers).toMatchObject({
      'content-security-policy': "default-src 'none';frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
    });
    expect(headers['strict-transport-security']).toBeUndefined();
  });

  test('of streams have the same headers', async () => {
    const app = await start();
    const response = await app.inject({
      method: 'POST',
      url: '/v1/completions',
      payload: { ...payload, stream: true },
    });
    expect(response.headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'content-type': 'text/event-stream; charset=utf-8',
    });
  });

  test('of /docs are a page that may run its own files, over HTTP too', async () => {
    const app = await start();
    const page = await app.inject('/docs/');
    const policy = String(page.headers['content-security-policy']);
    expect(policy).toContain("default-src 'self'");
    expect(policy).not.toContain('upgrade-insecure-requests');
    const files = [...page.body.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, file]) => file!);
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) expect((await app.inject(`/docs/${file}`)).statusCode).toBe(200);
    expect(page.body).not.toMatch(/<script>|<script [^>]*>[^<]*\S[^<]*<\/script>|<style|https?:/);
  });
});

describe('pages of other origins', () => {
  test('are not answered without --cors-origin', async () => {
    const app = await start();
    const asked = await app.inject(preflight);
    expect(asked.statusCode).toBe(404);
    const { headers } = await app.inject({ url: '/v1/models', headers: { origin: 'https://a.example' } });
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  test('may ask where they are allowed, and learn why they are refused', async () => {
    const app = await start({ corsOrigins: ['https://a.example', 'https://b.example'], keys });
    const asked = await app.inject(preflight);
    expect(asked.statusCode).toBe(204);
    expect(asked.headers).toMatchObject({
      'access-control-allow-origin': 'https://a.example',
      'access-control-allow-headers': 'authorization,content-type',
    });
    const { headers, statusCode } = await app.inject({
      url: '/v1/models',
      headers: { origin: 'https://b.example' },
    });
    expect(statusCode).toBe(401);
    expect(headers['access-control-allow-origin']).toBe('https://b.example');
    const other = await app.inject({
      ...preflight,
      headers: { ...preflight.headers, origin: 'https://c.example' },
    });
    expect(other.headers['access-control-allow-origin']).toBeUndefined();
  });

  test.each([
    [undefined, [], 'opened'],
    ['http://here.example:8080', [], 'opened'],
    ['http://here.example', [], '403'],
    ['https://a.example', [], '403'],
    ['null', [], '403'],
    ['https://a.example', ['https://a.example'], 'opened'],
    ['https://b.example', ['https://a.example'], '403'],
    ['https://b.example', ['*'], 'opened'],
  ])('may open sockets likewise (origin %s, allowed %j: %s)', async (origin, corsOrigins, outcome) => {
    const app = await start({ corsOrigins });
    const headers = { host: 'here.example:8080', ...(origin === undefined ? {} : { origin }) };
    const opened = app.injectWS('/v1/responses', { headers });
    expect(
      await opened.then(
        () => 'opened',
        (error: Error) => error.message,
      ),
    ).toContain(outcome);
  });
});
