import { createServer } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
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

  test('a second signal ends it at once', async () => {
    const server = scripted();
    const running = await complete(await server.baseUrl(), { stream: true, max_tokens: 1000 });
    server.child.kill('SIGTERM');
    await server.logged('draining');
    server.child.kill('SIGTERM');
    await expect(running.text()).rejects.toThrow('terminated');
    expect(await server.exitCode).toBe(1);
  });
});
