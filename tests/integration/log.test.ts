import { pino } from 'pino';
import { expect, test } from 'vitest';
import { SocketClient } from '../support/socket-client.ts';
import { testApp } from '../support/test-app.ts';

test('no prompt gets into the log, whatever becomes of it', async () => {
  let log = '';
  const logger = pino({ level: 'debug' }, { write: (line) => (log += line) });
  const server = await testApp({ failingRound: 3, app: { logger, maxBodyBytes: 5000 } });
  const bodies = [
    { prompt: 'a secret', max_tokens: 1, temperature: 0 },
    { prompt: 'a secret', max_tokens: 90, ignore_eos: true },
    { prompt: 'a secret', max_tokens: 90, ignore_eos: true, stream: true },
    { prompt: { a: 'secret' } },
    { prompt: 'a secret', temperature: 'secret' },
    { prompt: 'secret '.repeat(300), max_tokens: 10 },
    { prompt: 'secret '.repeat(3000) },
    '{"prompt": "a secret", ',
  ];
  const statuses: number[] = [];
  for (const payload of bodies) {
    const headers = { 'content-type': 'application/json' };
    const response = await server.app.inject({
      method: 'POST',
      url: '/v1/completions?secret',
      payload,
      headers,
    });
    statuses.push(response.statusCode);
  }
  expect(statuses).toEqual([200, 500, 200, 400, 400, 400, 413, 400]);
  const client = new SocketClient(await server.app.injectWS('/v1/responses'));
  await client.respond({ input: 'a secret', max_output_tokens: 90, ignore_eos: true });
  await client.respond({ input: 'a secret', temperature: 'secret' });
  client.send('{"type": "secret');
  await client.takeType('error');
  await server.close();
  expect(log).toContain('unexpected error');
  expect(log).toContain('request completed');
  expect(log).not.toContain('secret');
});
