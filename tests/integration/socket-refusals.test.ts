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

describe('a message that is refused', () => {
  const limit = { app: { maxBodyBytes: 2000 } };

  test.each([
    ['text that is not JSON', '{"type": ', 'invalid_request', null],
    ['NaN', '{"type": "response.create", "input": "x", "temperature": NaN}', 'invalid_request', null],
    ['an array', [], 'invalid_request', null],
    ['an unknown type', { type: 'session.update' }, 'invalid_request', 'type'],
    ['no type', {}, 'invalid_request', 'type'],
    ['no input', { type: 'response.create' }, 'invalid_request', 'input'],
    ['input and prompt', { type: 'response.create', input: 'x', prompt: 'x' }, 'invalid_request', 'prompt'],
    [
      'a wrong type',
      { type: 'response.create', input: 'x', temperature: '1' },
      'invalid_request',
      'temperature',
    ],
    [
      '5 stop strings',
      { type: 'response.create', input: 'x', stop: ['a', 'b', 'c', 'd', 'e'] },
      'invalid_request',
      'stop',
    ],
    ['a token out of range', { type: 'response.create', prompt: [1, 9999] }, 'invalid_request', 'prompt[1]'],
    ['an unknown field', { type: 'response.create', input: 'x', tools: [] }, 'invalid_request', 'tools'],
    ['another model', { type: 'response.create', input: 'x', model: 'gpt-4' }, 'model_not_found', 'model'],
    [
      'max_output_tokens 0',
      { type: 'response.create', input: 'x', max_output_tokens: 0 },
      'invalid_request',
      'max_output_tokens',
    ],
    [
      'a long prompt',
      { type: 'response.create', input: 'x'.repeat(1200) },
      'context_length_exceeded',
      'max_tokens',
    ],
    [
      'a conversation',
      { type: 'response.create', input: [{ role: 'system', content: 'x' }] },
      'chat_template_missing',
      'input',
    ],
    [
      'instructions',
      { type: 'response.create', input: 'x', instructions: 'x' },
      'chat_template_missing',
      'instructions',
    ],
    ['an oversized text', { type: 'response.create', input: 'x'.repeat(2000) }, 'body_too_large', null],
  ])('for %s gets an error event and leaves the socket open', async (_name, message, code, param) => {
    const client = await connect(limit);
    client.send(message);
    const error = await client.takeType('error');
    expect(error).toMatchObject({ type: 'error', code, param, message: expect.any(String) });
    const events = await client.respond({ input: 'x' });
    expect(events.at(-1)!.type).toBe('response.completed');
  });

  test('gets its event_id back', async () => {
    const client = await connect();
    client.send({ type: 'response.create', event_id: 'mine', input: 'x', n: 2 });
    expect(await client.takeType('error')).toMatchObject({ param: 'n', event_id: 'mine' });
  });

  test('closes the socket with the right code where it is binary or far too large', async () => {
    const binary = await connect(limit);
    binary.socket.send(Buffer.from([1, 2, 3]));
    expect(await closed(binary)).toBe(1003);
    await server!.close();
    const large = await connect(limit);
    large.send('x'.repeat(10_000));
    expect(await closed(large)).toBe(1009);
  });
});
