import { afterEach, describe, expect, test } from 'vitest';
import {
  streamCompletion,
  type CompletionPart,
  type CompletionRequest,
} from '../../src/playground/completion-stream.ts';
import { ApiKeys, parseApiKey } from '../../src/server/api-keys.ts';
import { testApp, type TestApp, type TestAppOptions } from '../support/test-app.ts';

let server: TestApp;
afterEach(() => server.close());

describe('GET /', () => {
  test('is a page that may run its own files and ask this server, and nothing else', async () => {
    server = await testApp();
    const page = await server.app.inject('/');
    expect(page.statusCode).toBe(200);
    expect(page.headers['content-type']).toContain('text/html');
    const policy = String(page.headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'");
    expect(page.body).not.toMatch(/<script>|<style|style=| on\w+=|https?:/);
    const files = [...page.body.matchAll(/(?:src|href)="(playground\/[^"]+)"/g)].map(([, file]) => file!);
    expect(files).toHaveLength(2);
    for (const file of files) expect((await server.app.inject(`/${file}`)).statusCode).toBe(200);
  });

  test('has scripts that import nothing that is not there', async () => {
    server = await testApp();
    const { body, headers } = await server.app.inject('/playground/playground.js');
    expect(headers['content-type']).toContain('javascript');
    const imports = [...body.matchAll(/ from '\.\/([^']+)'/g)].map(([, file]) => file!);
    expect(imports.toSorted()).toEqual(['completion-stream.js', 'report-rows.js']);
    for (const file of imports) expect((await server.app.inject(`/playground/${file}`)).statusCode).toBe(200);
  });

  test.each(['/playground/', '/playground/nothing.js', '/playground/..%2f..%2fpackage.json'])(
    'serves no %s',
    async (url) => {
      server = await testApp();
      const { statusCode, body } = await server.app.inject(url);
      expect(statusCode).toBe(404);
      expect(body).toContain('route_not_found');
    },
  );
});

describe('the page', () => {
  const request: CompletionRequest = {
    model: 'scripted',
    prompt: 'page',
    max_tokens: 12,
    temperature: 0,
    speculation: { num_draft_tokens: 3, adaptive: false, measure_baseline: true },
  };

  async function open(options: TestAppOptions = {}): Promise<string> {
    server = await testApp(options);
    return `${await server.app.listen({ host: '127.0.0.1', port: 0 })}/v1/completions`;
  }

  async function partsOf(
    url: string,
    asked: CompletionRequest = request,
    key = '',
    received: CompletionPart[] = [],
  ): Promise<CompletionPart[]> {
    const { signal } = new AbortController();
    for await (const part of streamCompletion(url, asked, key, signal)) received.push(part);
    return received;
  }

  test('reads the text, whose tokens it is made of, and the report', async () => {
    const url = await open();
    const parts = await partsOf(url);
    const choices = parts.flatMap((part) => part.choices);
    const text = choices.map((choice) => choice.text).join('');
    const sources = choices.flatMap((choice) => choice.token_sources ?? []);
    expect(sources.map((token) => token.text).join('')).toBe(text);
    expect(new Set(sources.map(({ source }) => source))).toEqual(new Set(['draft', 'target']));
    const whole = await server.app.inject({ method: 'POST', url: '/v1/completions', payload: request });
    expect(whole.json()).toMatchObject({ choices: [{ text }] });
    expect(parts.at(-1)!.metrics).toMatchObject({ speedup: { method: 'measured', identical: true } });
  });

  test('repeats what the server says of a request', async () => {
    const url = await open();
    await expect(partsOf(url, { ...request, temperature: 3 })).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining('temperature'),
    });
  });

  test('needs a key where keys are set', async () => {
    const url = await open({ app: { keys: new ApiKeys([parseApiKey('sk-one')!]) } });
    await expect(partsOf(url)).rejects.toMatchObject({ status: 401 });
    expect((await partsOf(url, request, 'sk-one')).length).toBeGreaterThan(1);
  });

  test('throws where the server fails half way', async () => {
    const url = await open({ failingRound: 2 });
    const received: CompletionPart[] = [];
    await expect(partsOf(url, request, '', received)).rejects.toThrow(/internal|error|failed/i);
    expect(received.length).toBeGreaterThan(0);
  });

  test('stops where it is told to, and so does the server', async () => {
    const url = await open({ roundMs: 20 });
    const stopping = new AbortController();
    const parts = streamCompletion(url, { ...request, max_tokens: 500 }, '', stopping.signal);
    await parts.next();
    expect(server.engine.load().numRunning).toBe(1);
    stopping.abort();
    await expect(parts.next()).rejects.toThrow(/abort/i);
    await expect.poll(() => server.engine.load().numRunning).toBe(0);
  });
});
