import { once } from 'node:events';
import { openSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { ServerProcess } from '../support/server-process.ts';

const started: ServerProcess[] = [];
afterEach(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  await Promise.all(started.splice(0).map(({ exitCode }) => exitCode));
});

function start(...given: ConstructorParameters<typeof ServerProcess>): ServerProcess {
  const server = new ServerProcess(...given);
  started.push(server);
  return server;
}

async function complete(baseUrl: string): Promise<number> {
  const response = await fetch(`${baseUrl}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'x', max_tokens: 4 }),
  });
  await response.text();
  return response.status;
}

async function expectServing(server: ServerProcess, baseUrl: string): Promise<void> {
  for (let count = 0; count < 5; count += 1) expect(await complete(baseUrl)).toBe(200);
  server.child.kill('SIGTERM');
  expect(await server.exitCode).toBe(0);
}

async function freePort(): Promise<number> {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const address = holder.address();
  holder.close();
  await once(holder, 'close');
  return typeof address === 'object' ? address!.port : 0;
}

const args = ['--model', 'any', '--log-level', 'trace'];

describe('a log that cannot be written', () => {
  test('for its pipe is closed, is no reason to stop', async () => {
    const server = start('tests/support/scripted-main.ts', ['--port', '0', ...args]);
    const baseUrl = await server.baseUrl();
    server.child.stdout!.destroy();
    await expectServing(server, baseUrl);
  });

  test('for the disk is full, is no reason to stop', async () => {
    const port = await freePort();
    const full = openSync('/dev/full', 'w');
    const server = start('tests/support/scripted-main.ts', ['--port', String(port), ...args], {}, full);
    const baseUrl = `http://127.0.0.1:${port}`;
    const isReady = async (): Promise<boolean> =>
      fetch(`${baseUrl}/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
    await expect.poll(isReady, { timeout: 30_000 }).toBe(true);
    await expectServing(server, baseUrl);
  });
});

describe('SIGTERM while the model loads', () => {
  test.each(['listening, loading the model', 'model loaded, measuring step costs'])(
    'ends it with exit code 0 (at "%s")',
    async (message) => {
      const server = start('src/main.ts', ['serve', '--port', '0']);
      await server.logged(message);
      server.child.kill('SIGTERM');
      expect(await server.exitCode).toBe(0);
      expect(server.stderr).toBe('');
    },
  );
});

test('an engine that has given up ends the server with exit code 1', async () => {
  const server = start('tests/support/scripted-main.ts', ['--port', '0', '--model', 'any']);
  await server.baseUrl();
  server.child.kill('SIGUSR1');
  expect(await server.exitCode).toBe(1);
  expect(server.log.at(-1)).toMatchObject({ msg: 'closed' });
});

test.each(['SIGSEGV', 'SIGABRT'] as const)(
  '%s, as from native code, ends the process at once',
  async (signal) => {
    const server = start('tests/support/scripted-main.ts', ['--port', '0', '--model', 'any']);
    await server.baseUrl();
    server.child.kill(signal);
    expect(await server.exitCode).toBeNull();
    expect(server.child.signalCode).toBe(signal);
    expect(server.log.map(({ msg }) => msg)).not.toContain('draining');
  },
);
