import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import type { ConnectionLimits } from '../../src/server/connection-limits.ts';
import { sseEvents } from '../support/sse-events.ts';
import { testApp, type TestApp, type TestAppOptions } from '../support/test-app.ts';

let server: TestApp;
let baseUrl: string;
let log: string;
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await server.close();
});

async function start(connections: Partial<ConnectionLimits>, options: TestAppOptions = {}): Promise<void> {
  log = '';
  const logger = pino({ level: 'info' }, { write: (line) => (log += line) });
  server = await testApp({
    ...options,
    app: { logger, connections: { checkIntervalMs: 10, ...connections } },
  });
  baseUrl = await server.app.listen({ host: '127.0.0.1', port: 0 });
}

function open(): Socket {
  const socket = connect(Number(new URL(baseUrl).port), '127.0.0.1');
  socket.on('error', () => {});
  sockets.push(socket);
  return socket;
}

function post(body: object): string {
  const text = JSON.stringify(body);
  const head = `POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json`;
  return `${head}\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
}

async function untilClosed(socket: Socket): Promise<string> {
  let received = '';
  socket.on('data', (data) => (received += data.toString()));
  await once(socket, 'close');
  return received;
}

async function expectNothingHeld(): Promise<void> {
  await server.gate.whenIdle();
  await expect.poll(() => server.engine.load()).toMatchObject({ numRunning: 0, numWaiting: 0 });
}

describe('a reader of a stream', () => {
  // More than the buffers of both ends hold, so that it cannot be sent to one who does not read.
  const huge = { prompt: 'x', stream: true, ignore_eos: true, max_tokens: 90_000, logprobs: 5, n: 16 };
  const engine = { maxRunning: 16, model: { maxModelLength: 100_000 } };

  test('that takes nothing loses its connection, and holds nothing', async () => {
    await start({ sendTimeoutMs: 100 }, engine);
    const socket = open().pause();
    socket.write(post(huge));
    await expect.poll(() => server.gate.numActive).toBe(1);
    await expectNothingHeld();
    expect(log).toContain('reader takes nothing, connection closed');
    await expect.poll(() => log).toContain('"statusCode":499');
  });

  test('that takes nothing does not hold up the end of the server', async () => {
    await start({ sendTimeoutMs: 600_000 }, engine);
    const socket = open().pause();
    const [peer] = (await once(server.app.server, 'connection')) as [Socket];
    socket.write(post(huge));
    await expect.poll(() => peer.writableLength, { timeout: 30_000 }).toBeGreaterThan(0);
    await server.engine.close();
    await server.app.close();
    await expectNothingHeld();
  });

  test('that waits for the next token keeps it', async () => {
    await start({ sendTimeoutMs: 20 }, { roundMs: 100 });
    const response = await fetch(`${baseUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'x', stream: true, ignore_eos: true, max_tokens: 8 }),
    });
    expect(sseEvents(await response.text()).at(-1)).toBe('[DONE]');
  });

  test('that waits behind another answer keeps it too', async () => {
    await start({ sendTimeoutMs: 20 }, { roundMs: 200 });
    const socket = open();
    const body = { prompt: 'x', stream: true, ignore_eos: true, max_tokens: 2 };
    socket.write(`GET /health HTTP/1.1\r\nhost: x\r\n\r\n${post(body)}`);
    let received = '';
    socket.on('data', (data) => (received += data.toString()));
    await expect.poll(() => received).toContain('[DONE]');
  });
});

describe('a sender', () => {
  const patience = { headersTimeoutMs: 100, receiveTimeoutMs: 200 };

  test.each([
    ['of nothing', ''],
    ['of half a head', 'POST /v1/completions HTTP/1.1\r\nhost: x\r\n'],
    ['of half a body', post({ prompt: 'a prompt' }).slice(0, -5)],
  ])('%s gets a 408 and is closed', async (_name, sent) => {
    await start(patience);
    const socket = open();
    socket.write(sent);
    const [head, body] = (await untilClosed(socket)).split('\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(JSON.parse(body!)).toMatchObject({
      error: { code: 'receive_timeout', type: 'invalid_request_error' },
    });
    expect(log).not.toContain('unexpected error');
  });

  test('that is only idle between requests is closed without a word', async () => {
    await start({ keepAliveTimeoutMs: 20 });
    const socket = open();
    socket.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
    expect((await untilClosed(socket)).match(/HTTP\/1\.1/g)).toEqual(['HTTP/1.1']);
  });

  test('that goes away in the middle leaves no error in the log', async () => {
    await start({});
    for (const numBytes of [10, 60, 130]) {
      const socket = open();
      socket.write(post({ prompt: 'x'.repeat(100) }).slice(0, numBytes));
      await once(socket, 'connect');
      socket.destroy();
    }
    const tooLarge = open();
    tooLarge.write('POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\nbegin');
    await once(tooLarge, 'connect');
    tooLarge.destroy();
    const { server: http } = server.app;
    await expect.poll(() => promisify(http.getConnections.bind(http))()).toBe(0);
    expect(log).not.toContain('"level":50');
  });
});

describe('connections', () => {
  test('over the limit are closed, and the log says so once', async () => {
    await start({ maxConnections: 2 });
    const [first] = [open(), open()];
    const answer = once(first, 'data');
    first.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
    await answer;
    expect(await untilClosed(open())).toBe('');
    expect(await untilClosed(open())).toBe('');
    expect(log.match(/too many connections/g)).toHaveLength(1);
    first.destroy();
    await expect
      .poll(
        async () =>
          (await fetch(`${baseUrl}/health`, { headers: { connection: 'close' } }).catch(() => null))?.status,
      )
      .toBe(200);
  });

  test('are to be closed after so many requests', async () => {
    await start({ maxRequestsPerConnection: 2 });
    const socket = open();
    const heads: string[] = [];
    for (let count = 0; count < 2; count += 1) {
      const answer = once(socket, 'data');
      socket.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
      heads.push(/^connection: .*$/im.exec(String(await answer))![0].toLowerCase());
    }
    expect(heads).toEqual(['connection: keep-alive', 'connection: close']);
  });

  test('end all requests that wait on them', async () => {
    await start({}, { roundMs: 20 });
    const socket = open();
    const request = post({ prompt: 'x', ignore_eos: true, max_tokens: 900, stream: true });
    socket.write(request.repeat(3));
    await expect.poll(() => server.engine.load().numRunning).toBe(3);
    socket.destroy();
    await expectNothingHeld();
  });
});
