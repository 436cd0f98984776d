import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ForetokenError } from '../../../src/errors.ts';
import { errorBody } from '../../../src/server/error-body.ts';
import { sseStream, started } from '../../../src/server/sse.ts';

const describeError = (): ReturnType<typeof errorBody> =>
  errorBody(new ForetokenError('internal_error', 'failed'));

test('a stream that nobody reads stops asking for more, and gives its source back when it is dropped', async () => {
  let numMade = 0;
  let isGivenBack = false;
  async function* endless(): AsyncGenerator<{ text: string }> {
    try {
      for (;;) {
        numMade += 1;
        yield { text: 'x'.repeat(1000) };
      }
    } finally {
      isGivenBack = true;
    }
  }
  const stream = sseStream(await started(endless()), describeError);
  stream.read(1);
  for (let turn = 0; turn < 100; turn += 1) await nextTurn();
  const numStalled = numMade;
  expect(numStalled).toBeLessThan(40);
  for (let turn = 0; turn < 100; turn += 1) await nextTurn();
  expect(numMade).toBe(numStalled);
  stream.destroy();
  for (let turn = 0; turn < 10; turn += 1) await nextTurn();
  expect(isGivenBack).toBe(true);
});

async function* failing(numBefore: number): AsyncGenerator<{ index: number }> {
  for (let index = 0; index < numBefore; index += 1) yield { index };
  throw new Error('engine');
}

test('what fails before the first item is thrown, and what fails later is an event', async () => {
  await expect(started(failing(0))).rejects.toThrow('engine');
  const chunks = await sseStream(await started(failing(2)), describeError).toArray();
  const body = chunks.map(String).join('');
  expect(body).toBe(
    'data: {"index":0}\n\ndata: {"index":1}\n\n' +
      'data: {"error":{"message":"failed","type":"server_error","param":null,"code":"internal_error"}}\n\n',
  );
});
