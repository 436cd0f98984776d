/** Clients that leave at any moment, many of them: nothing may be left behind. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { SocketClient } from '../support/socket-client.ts';
import { testApp, type TestApp } from '../support/test-app.ts';

const numRequests = 1000;
const numAtOnce = 40;
const timeoutMs = 600_000;

let server: TestApp;
let baseUrl: string;
beforeEach(async () => {
  // Some of them wait, and some are refused.
  server = await testApp({ roundMs: 1, maxRunning: 16, maxQueue: 16 });
  baseUrl = await server.app.listen({ host: '127.0.0.1', port: 0 });
});
afterEach(() => server.close());

/** From 0 to `limit` - 1, the same in every run. */
function pick(index: number, limit: number): number {
  return (Math.imul(index + 1, 2_654_435_761) >>> 0) % limit;
}

/** Runs them all, some at a time. */
async function each(run: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < numRequests; index = next++) await run(index);
  };
  await Promise.all(Array.from({ length: numAtOnce }, lane));
}

async function fetchCompletion(body: object, signal: AbortSignal): Promise<Response> {
  return await fetch(`${baseUrl}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'x', ignore_eos: true, max_tokens: 900, ...body }),
    signal,
  });
}

async function expectNothingHeld(): Promise<void> {
  await expect.poll(() => server.gate.numActive, { timeout: 30_000 }).toBe(0);
  await expect.poll(() => server.engine.load()).toMatchObject({ numRunning: 0, numWaiting: 0 });
  // As many as the engine takes at all.
  const body = { prompt: ['x', 'y'], n: 16, max_tokens: 2 };
  expect((await fetchCompletion(body, new AbortController().signal)).status).toBe(200);
}

test(
  '1,000 requests over HTTP that are left at any moment leave nothing behind',
  async () => {
    const outcomes = { streaming: 0, before: 0 };
    await each(async (index) => {
      const stream = index % 2 === 0;
      const abort = new AbortController();
      if (!stream) void sleep(pick(index, 20)).then(() => abort.abort());
      try {
        const response = await fetchCompletion({ stream }, abort.signal);
        if (!response.ok) return;
        const reader = response.body!.getReader();
        for (let numLeft = pick(index, 6); numLeft > 0; numLeft -= 1) await reader.read();
        abort.abort();
        await reader.read();
      } catch {
        outcomes[stream ? 'streaming' : 'before'] += 1;
      }
    });
    expect(outcomes.streaming).toBeGreaterThan(0);
    expect(outcomes.before).toBeGreaterThan(0);
    await expectNothingHeld();
  },
  timeoutMs,
);

test(
  '1,000 responses on sockets that are left or cancelled at any moment leave nothing behind',
  async () => {
    const outcomes = { left: 0, cancelled: 0 };
    await each(async (index) => {
      const socket = new WebSocket(`${baseUrl.replace('http', 'ws')}/v1/responses`);
      socket.on('error', () => {});
      const client = new SocketClient(socket);
      const closed = new Promise<void>((resolve) => {
        socket.once('close', () => resolve());
      });
      await new Promise((resolve) => {
        socket.once('open', resolve);
      });
      client.send({ type: 'response.create', input: 'x', ignore_eos: true, max_output_tokens: 900 });
      let responseId: string | undefined;
      for (let numLeft = pick(index, 12); numLeft > 0; numLeft -= 1) {
        const { type, response } = await client.take(() => true);
        responseId ??= response?.id;
        if (type === 'error') break;
      }
      if (index % 2 === 0 && responseId !== undefined) {
        client.send({ type: 'response.cancel', response_id: responseId });
        await client.takeType('response.incomplete');
        outcomes.cancelled += 1;
      } else {
        outcomes.left += 1;
      }
      socket.terminate();
      await closed;
    });
    expect(outcomes.left).toBeGreaterThan(0);
    expect(outcomes.cancelled).toBeGreaterThan(0);
    await expectNothingHeld();
    await expect.poll(() => server.app.websocketServer.clients.size).toBe(0);
  },
  timeoutMs,
);
