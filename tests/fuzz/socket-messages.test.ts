import fc from 'fast-check';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import {
  brokenJson,
  expectSound,
  fuzzApp,
  jsonValues,
  maxBodyBytes,
  mutated,
  runs,
  type FuzzApp,
} from '../support/fuzz.ts';
import { SocketClient } from '../support/socket-client.ts';

let server: FuzzApp;
let url: string;
beforeAll(async () => {
  server = await fuzzApp();
  const address = await server.app.listen({ host: '127.0.0.1', port: 0 });
  url = `${address.replace('http', 'ws')}/v1/responses`;
});
afterAll(() => server.close());

const create = {
  type: 'response.create',
  event_id: 'mine',
  model: 'scripted',
  input: 'let x',
  prompt: null,
  instructions: null,
  max_output_tokens: 3,
  metadata: { a: 'b' },
  store: false,
  stream: true,
  temperature: 0.5,
  seed: 3,
  stop: null,
  logit_bias: null,
  ignore_eos: true,
  return_token_sources: false,
  speculation: 'auto',
};
const cancel = { type: 'response.cancel', event_id: 'mine', response_id: 'resp_1' };

const messages: fc.Arbitrary<string | Buffer> = fc.oneof(
  { weight: 6, arbitrary: mutated(create).map((message) => JSON.stringify(message)) },
  { weight: 2, arbitrary: mutated(cancel).map((message) => JSON.stringify(message)) },
  { weight: 2, arbitrary: jsonValues.map((message) => JSON.stringify(message)) },
  { weight: 2, arbitrary: brokenJson },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(maxBodyBytes - 50, maxBodyBytes + 1, 2 * maxBodyBytes, 2 * maxBodyBytes + 100)
      .map((length) => 'x'.repeat(length)),
  },
);

async function connect(): Promise<SocketClient> {
  const client = new SocketClient(new WebSocket(url));
  await once(client.socket, 'open');
  return client;
}

test('no message makes the server fail, and a socket that stays open goes on', async () => {
  let client = await connect();
  let closed = once(client.socket, 'close') as Promise<[number]>;
  let count = 0;
  await fc.assert(
    fc.asyncProperty(messages, async (message) => {
      client.socket.send(message);
      count += 1;
      const mark = `good ${count}`;
      client.send({ type: 'response.create', input: 'good', max_output_tokens: 1, metadata: { mark } });
      const end = client.take(
        ({ type, response }) =>
          ['response.completed', 'response.incomplete', 'response.failed'].includes(type) &&
          response?.metadata?.['mark'] === mark,
      );
      const outcome = await Promise.race([end, closed]);
      const isClosed = Array.isArray(outcome);
      expect(isClosed ? [1003, 1009] : ['response.incomplete']).toContain(
        isClosed ? outcome[0] : outcome.type,
      );
      const codes = client.events.splice(0).map(({ code }) => code);
      expect(codes).not.toContain('internal_error');
      if (isClosed) {
        client = await connect();
        closed = once(client.socket, 'close') as Promise<[number]>;
      }
      await expectSound(server);
    }),
    runs(0.25),
  );
  client.socket.close();
  await closed;
});
