import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openAiContract } from '../support/openai-contract.ts';
import { testApp, type TestApp } from '../support/test-app.ts';

let server: TestApp;
let baseUrl: string;
beforeAll(async () => {
  server = await testApp({ roundMs: 1 });
  baseUrl = await server.app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(() => server.close());

describe('over a real socket', () => {
  openAiContract(() => ({ baseUrl, prompt: 'a prompt', stop: ['never there'] }));

  test.each([false, true])('a client that leaves ends its generation (stream: %s)', async (stream) => {
    const body = JSON.stringify({ prompt: 'x', max_tokens: 1000, ignore_eos: true, stream });
    const client = request(`${baseUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    });
    client.on('error', () => {});
    client.end(body);
    await expect.poll(() => server.engine.load().numRunning).toBe(1);
    client.destroy();
    await expect.poll(() => server.engine.load().numRunning).toBe(0);
    await server.gate.whenIdle();
    const metrics = await (await fetch(`${baseUrl}/metrics`)).text();
    expect(metrics).toMatch(
      /vllm:request_success_total\{model_name="scripted",finished_reason="abort"\} [12]\n/,
    );
  });

  test('bytes that are no HTTP get an error in the same shape', async () => {
    const { port } = new URL(baseUrl);
    const socket = connect(Number(port), '127.0.0.1');
    socket.end('not http at all\r\n\r\n');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'close');
    const [head, body] = Buffer.concat(chunks).toString().split('\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1\.1 400 /);
    expect(JSON.parse(body!)).toMatchObject({ error: { code: 'invalid_request' } });
  });

  test('a body over the limit is refused while it is sent', async () => {
    const response = await fetch(`${baseUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'x'.repeat(10 * 1024 * 1024) }),
    });
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ error: { code: 'body_too_large' } });
  });
});
