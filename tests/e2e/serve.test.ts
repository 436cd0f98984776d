import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { SocketClient } from '../support/socket-client.ts';
import { sseEvents } from '../support/sse-events.ts';
import { ServerProcess } from '../support/server-process.ts';

const started: ServerProcess[] = [];
afterEach(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  await Promise.all(started.splice(0).map(({ exitCode }) => exitCode));
});

function start(file: string, args: readonly string[], env?: NodeJS.ProcessEnv): ServerProcess {
  const server = new ServerProcess(file, args, env);
  started.push(server);
  return server;
}

const scripted = (args: readonly string[] = [], roundMs = 20) =>
  start('tests/support/scripted-main.ts', ['--port', '0', '--model', 'any', ...args], {
    SCRIPTED_ROUND_MS: String(roundMs),
  });

async function complete(baseUrl: string, body: object): Promise<Response> {
  return fetch(`${baseUrl}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'secret prompt', ignore_eos: true, ...body }),
  });
}

describe('foretoken', () => {
  test('--help explains commands and settings', async () => {
    const server = start('src/main.ts', ['--help']);
    expect(await server.exitCode).toBe(0);
    expect(server.stdout).toContain('foretoken serve');
    expect(server.stdout).toContain('--shutdown-timeout SECONDS');
  });

  test.each([
    [['serve', '--port', 'x'], /^foretoken: --port: expected an integer from 0 to 65535, got "x"\n$/],
    [['launch'], /^foretoken: command: expected serve.*, got launch.*\n$/],
    [
      ['serve', '--model', '/nowhere', '--port', '0', '--log-level', 'silent'],
      /^foretoken: .*\/nowhere.*\n$/,
    ],
  ])('%j ends with one clear line and exit code 1', async (args, line) => {
    const server = start('src/main.ts', args);
    expect(await server.exitCode).toBe(1);
    expect(server.stderr).toMatch(line);
  });

  test('says that a port is taken', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const address = holder.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const server = start('src/main.ts', ['serve', '--model', 'any', '--port', String(port)]);
    expect(await server.exitCode).toBe(1);
    expect(server.stderr).toBe(`foretoken: cannot listen on 127.0.0.1:${port}: already in use\n`);
    holder.close();
  });
});

describe('on SIGTERM', () => {
  test('a running stream finishes, new requests are refused, and the exit code is 0', async () => {
    const server = scripted();
    const baseUrl = await server.baseUrl();
    const running = await complete(baseUrl, { stream: true, max_tokens: 60 });
    server.child.kill('SIGTERM');
    await server.logged('draining');
    const ready = await fetch(`${baseUrl}/ready`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ error: { code: 'server_draining' } });
    const refused = await complete(baseUrl, {});
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('5');
    const events = sseEvents(await running.text());
    expect(events.at(-1)).toBe('[DONE]');
    expect(events.at(-2)).toMatchObject({ usage: { completion_tokens: 60 } });
    expect(await server.exitCode).toBe(0);
    expect(server.stdout).not.toContain('secret prompt');
  });

  test('what runs beyond the deadline ends with an error, and the exit code is 0', async () => {
    const server = scripted(['--shutdown-timeout', '0.2']);
    const running = await complete(await server.baseUrl(), { stream: true, max_tokens: 1000 });
    server.child.kill('SIGTERM');
    expect(sseEvents(await running.text()).at(-1)).toMatchObject({ error: { code: 'engine_failed' } });
    expect(await server.exitCode).toBe(0);
  });

  test('a second signal aborts what runs, with an error event, and the exit code is 1', async () => {
    const server = scripted();
    const running = await complete(await server.baseUrl(), { stream: true, max_tokens: 1000 });
    server.child.kill('SIGTERM');
    await server.logged('draining');
    server.child.kill('SIGINT');
    expect(sseEvents(await running.text()).at(-1)).toMatchObject({ error: { code: 'engine_failed' } });
    expect(await server.exitCode).toBe(1);
  });

  test('a socket is closed with 1001 once its response has ended', async () => {
    const server = scripted();
    const socket = new WebSocket(`${(await server.baseUrl()).replace('http', 'ws')}/v1/responses`);
    const client = new SocketClient(socket);
    await once(socket, 'open');
    client.send({ type: 'response.create', input: 'x', ignore_eos: true, max_output_tokens: 60 });
    await client.takeType('response.output_text.delta');
    const closed = once(socket, 'close');
    server.child.kill('SIGTERM');
    const { response } = await client.takeType('response.incomplete');
    expect(response!.usage!['output_tokens']).toBe(60);
    expect((await closed)[0]).toBe(1001);
    expect(await server.exitCode).toBe(0);
  });
});

describe('with --api-key-file', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'keys-'));
    file = join(folder, 'keys');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test('keys are read again on SIGHUP, where the file is of use', async () => {
    writeFileSync(file, 'alice:sk-old\n');
    const server = scripted(['--api-key-file', file, '--api-key', 'sk-flag']);
    const baseUrl = await server.baseUrl();
    const statusOf = async (key: string): Promise<number> =>
      (await fetch(`${baseUrl}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status;
    expect([await statusOf('sk-old'), await statusOf('sk-new'), await statusOf('sk-flag')]).toEqual([
      200, 401, 200,
    ]);

    writeFileSync(file, '# none left\n');
    server.child.kill('SIGHUP');
    await server.logged('API keys not reloaded, the old ones stay');
    expect(await statusOf('sk-old')).toBe(200);

    writeFileSync(file, 'alice:sk-new\n');
    server.child.kill('SIGHUP');
    expect(await server.logged('API keys reloaded')).toMatchObject({ numKeys: 2 });
    expect([await statusOf('sk-old'), await statusOf('sk-new'), await statusOf('sk-flag')]).toEqual([
      401, 200, 200,
    ]);
    server.child.kill('SIGTERM');
    expect(await server.exitCode).toBe(0);
    expect(server.stdout + server.stderr).not.toContain('sk-');
  });

  test('a file without keys is refused at start, in one line', async () => {
    writeFileSync(file, '\n');
    const server = start('src/main.ts', ['serve', '--model', 'any', '--port', '0', '--api-key-file', file]);
    expect(await server.exitCode).toBe(1);
    expect(server.stderr).toBe(`foretoken: --api-key-file: expected keys in ${file}, got none\n`);
  });
});
