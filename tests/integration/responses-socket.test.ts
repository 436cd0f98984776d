import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { SocketClient } from '../support/socket-client.ts';
import { testApp, type TestApp, type TestAppOptions } from '../support/test-app.ts';

let server: TestApp | undefined;
afterEach(() => server?.close());

async function connect(options?: TestAppOptions): Promise<SocketClient> {
  server = await testApp(options);
  let client: SocketClient | undefined;
  await server.app.injectWS('/v1/responses', {}, { onInit: (socket) => (client = new SocketClient(socket)) });
  return client!;
}

const closed = (client: SocketClient) =>
  new Promise<number>((resolve) => {
    client.socket.once('close', (code) => resolve(code));
  });

const loaded = () => server!.engine.load().numRunning;

describe('a response on the socket', () => {
  test('comes as the events of the Responses API, numbered, and adds up', async () => {
    const client = await connect();
    const events = await client.respond({
      model: 'scripted',
      input: 'hello',
      seed: 1,
      max_output_tokens: 100,
    });
    const types = events.map(({ type }) => type);
    const numDeltas = types.filter((type) => type === 'response.output_text.delta').length;
    expect(numDeltas).toBeGreaterThan(1);
    expect(types).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      ...Array<string>(numDeltas).fill('response.output_text.delta'),
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual([...events.keys()]);
    const text = events.map(({ delta = '' }) => delta).join('');
    const { response } = events.at(-1)!;
    expect(response!.output[0]!.content[0]!.text).toBe(text);
    expect(text).not.toBe('');
    const deltas = events.filter(({ type }) => type === 'response.output_text.delta');
    const numTokens = deltas.reduce((sum, { num_tokens = 0 }) => sum + num_tokens, 0);
    expect(response).toMatchObject({
      status: 'completed',
      model: 'scripted',
      usage: { input_tokens: 5, output_tokens: numTokens, prompt_tokens: 5, completion_tokens: numTokens },
      metrics: { speculative_decoding: { num_spec_tokens: 3 }, speedup: { method: 'calibrated' } },
      timings: { predicted_n: numTokens },
    });
  });

  test('has the text of the same completion', async () => {
    const client = await connect();
    const settings = { seed: 9, temperature: 0.8 };
    const payload = { prompt: 'same', max_tokens: 64, ...settings };
    const completion = await server!.app.inject({ method: 'POST', url: '/v1/completions', payload });
    const inputs = [
      { input: 'same' },
      { prompt: 'same' },
      { prompt: [115, 97, 109, 101] },
      {
        input: [
          {
            role: 'user',
            content: [
              { type: 'input_text', text: 'sa' },
              { type: 'input_text', text: 'me' },
            ],
          },
        ],
      },
    ];
    for (const input of inputs) {
      const events = await client.respond({ ...input, ...settings, max_output_tokens: 64 });
      const text = completion.json<{ choices: { text: string }[] }>().choices[0]!.text;
      expect(events.at(-1)!.response!.output[0]!.content[0]!.text).toBe(text);
    }
  });

  test('is incomplete where the tokens run out', async () => {
    const client = await connect();
    const events = await client.respond({
      input: 'x',
      max_output_tokens: 4,
      ignore_eos: true,
      metadata: { a: 'b' },
    });
    expect(events.at(-1)).toMatchObject({
      type: 'response.incomplete',
      response: {
        status: 'incomplete',
        incomplete_details: { reason: 'max_output_tokens' },
        metadata: { a: 'b' },
      },
    });
  });

  test('fails with an id and no internals where the engine fails', async () => {
    const client = await connect({ failingRound: 2 });
    const events = await client.respond({ input: 'x' });
    expect(events.at(-1)).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'internal_error' } },
    });
    expect(JSON.stringify(events)).not.toContain('scripted failure');
  });

  test('shares the socket with others, each with its own numbers', async () => {
    const client = await connect({ roundMs: 1 });
    const inputs = ['one', 'two', 'three'];
    for (const input of inputs) client.send({ type: 'response.create', input, seed: 2, metadata: { input } });
    const finished = await Promise.all(inputs.map(() => client.takeType('response.completed')));
    const { app } = server!;
    for (const { response, sequence_number } of finished) {
      const prompt = response!.metadata!['input']!;
      const payload = { prompt, seed: 2, max_tokens: 256 };
      const completion = await app.inject({ method: 'POST', url: '/v1/completions', payload });
      const text = completion.json<{ choices: { text: string }[] }>().choices[0]!.text;
      expect(response!.output[0]!.content[0]!.text).toBe(text);
      const mine = client.events.filter(
        (event) => (event.response?.id ?? event.response_id) === response!.id,
      );
      expect(sequence_number).toBeGreaterThanOrEqual(mine.length);
    }
    expect(new Set(finished.map(({ response }) => response!.id)).size).toBe(3);
  });

  test('is cancelled by its id', async () => {
    const client = await connect({ roundMs: 10 });
    client.send({ type: 'response.create', input: 'x', ignore_eos: true, max_output_tokens: 900 });
    const { response } = await client.takeType('response.created');
    await client.takeType('response.output_text.delta');
    client.send({ type: 'response.cancel', response_id: response!.id });
    const last = await client.takeType('response.incomplete');
    expect(last.response).toMatchObject({ id: response!.id, status: 'cancelled', usage: null });
    await server!.gate.whenIdle();
    expect(loaded()).toBe(0);
    client.send({ type: 'response.cancel', response_id: response!.id });
    expect(await client.takeType('error')).toMatchObject({
      code: 'response_not_found',
      param: 'response_id',
    });
  });

  test('ends with its socket', async () => {
    const client = await connect({ roundMs: 10 });
    client.send({ type: 'response.create', input: 'x', ignore_eos: true, max_output_tokens: 900 });
    await client.takeType('response.output_text.delta');
    expect(loaded()).toBe(1);
    client.socket.terminate();
    await server!.gate.whenIdle();
    await expect.poll(loaded).toBe(0);
  });
});

describe('the server and its sockets', () => {
  test('refuses what comes while draining, and closes with 1001 once nothing runs on a socket', async () => {
    const client = await connect({ roundMs: 10 });
    const idle = new SocketClient(await server!.app.injectWS('/v1/responses'));
    client.send({ type: 'response.create', input: 'x', ignore_eos: true, max_output_tokens: 30 });
    await client.takeType('response.output_text.delta');
    const [idleClose, close] = [closed(idle), closed(client)];
    server!.gate.startDraining();
    expect(await idleClose).toBe(1001);
    client.send({ type: 'response.create', input: 'x' });
    expect(await client.takeType('error')).toMatchObject({ code: 'server_draining' });
    const last = await client.takeType('response.incomplete');
    expect(last.response!.usage!['output_tokens']).toBe(30);
    expect(await close).toBe(1001);
    const late = await server!.app.injectWS('/v1/responses');
    expect(await closed(new SocketClient(late))).toBe(1001);
  });

  test('closes idle sockets with 1001 when it is closed', async () => {
    const close = closed(await connect());
    await server!.close();
    expect(await close).toBe(1001);
    server = undefined;
  });

  test('waits for a slow reader without buffering its response', async () => {
    const client = await connect({ model: { maxModelLength: 100_000 } });
    client.socket.pause();
    client.send({
      type: 'response.create',
      input: 'x',
      ignore_eos: true,
      max_output_tokens: 3000,
      temperature: 0,
    });
    const [peer] = server!.app.websocketServer.clients;
    await expect.poll(() => peer!.bufferedAmount).toBeGreaterThan(64 * 1024);
    const stalledAt = peer!.bufferedAmount;
    for (let turn = 0; turn < 200; turn += 1) await nextTurn();
    expect(peer!.bufferedAmount).toBe(stalledAt);
    expect(loaded()).toBe(1);
    client.socket.resume();
    const last = await client.takeType('response.incomplete');
    expect(last.response!.usage!['output_tokens']).toBe(3000);
  });

  test('gives up a reader that takes nothing, says why, and holds nothing for it', async () => {
    const client = await connect({
      model: { maxModelLength: 100_000 },
      app: { connections: { sendTimeoutMs: 50 } },
    });
    client.socket.pause();
    client.send({ type: 'response.create', input: 'x', ignore_eos: true, max_output_tokens: 90_000 });
    await expect.poll(() => server!.gate.numActive).toBe(1);
    const close = new Promise((resolve) => {
      client.socket.once('close', (code, reason) => resolve([code, reason.toString()]));
    });
    await server!.gate.whenIdle();
    await expect.poll(loaded).toBe(0);
    client.socket.resume();
    expect(await close).toEqual([1008, 'nothing was read for 0.05 s']);
  });

  test('drops a peer that answers no ping', async () => {
    const client = await connect({ app: { connections: { pingIntervalMs: 20 } } });
    expect(server!.app.websocketServer.clients.size).toBe(1);
    client.socket.pause();
    await expect.poll(() => server!.app.websocketServer.clients.size).toBe(0);
  });
});
