import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, test } from 'vitest';
import { expectSound, fuzzApp, maxBodyBytes, runs, type FuzzApp } from '../support/fuzz.ts';

let server: FuzzApp;
let port: number;
beforeAll(async () => {
  server = await fuzzApp();
  port = Number(new URL(await server.app.listen({ host: '127.0.0.1', port: 0 })).port);
});
afterAll(() => server.close());

interface Frame {
  readonly isFinal: boolean;
  readonly reserved: number;
  readonly opcode: number;
  readonly isMasked: boolean;
  readonly payload: Uint8Array;
  /** In place of the payload's own. */
  readonly declaredLength: number | null;
}

/** RFC 6455, 5.2. */
function encode({ isFinal, reserved, opcode, isMasked, payload, declaredLength }: Frame): Buffer {
  const length = declaredLength ?? payload.length;
  const first = (isFinal ? 0x80 : 0) | (reserved << 4) | opcode;
  const maskBit = isMasked ? 0x80 : 0;
  let head: Buffer;
  if (length < 126) head = Buffer.from([first, maskBit | length]);
  else if (length < 65_536) head = Buffer.from([first, maskBit | 126, length >> 8, length & 0xff]);
  else {
    head = Buffer.from([first, maskBit | 127, 0, 0, 0, 0, 0, 0, 0, 0]);
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  if (!isMasked) return Buffer.concat([head, payload]);
  const mask = randomBytes(4);
  return Buffer.concat([head, mask, payload.map((byte, index) => byte ^ mask[index % 4]!)]);
}

const request = Buffer.from(JSON.stringify({ type: 'response.create', input: 'x', max_output_tokens: 2 }));
const frames = fc.record({
  isFinal: fc.boolean(),
  reserved: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 7 }) }),
  opcode: fc.oneof(fc.constantFrom(0, 1, 1, 2, 8, 9, 10), fc.nat({ max: 15 })),
  isMasked: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, fc.boolean()),
  payload: fc.oneof(
    fc.constant(request),
    fc.nat({ max: request.length }).map((cut) => request.subarray(0, cut)),
    fc.uint8Array({ maxLength: 130 }),
    fc.constantFrom(Buffer.from([0xc3, 0x28]), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from([3, 232, 0xff])),
    fc.constant(Buffer.alloc(2 * maxBodyBytes + 10, 'x')),
  ),
  declaredLength: fc.oneof(
    { weight: 6, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constantFrom(0, 125, 65_535, 2 ** 31, Number.MAX_SAFE_INTEGER) },
  ),
});
const inFragments = fc.array(fc.nat({ max: request.length }), { maxLength: 5 }).map((cuts) => {
  const ends = [...cuts.toSorted((a, b) => a - b), request.length];
  return ends.map((end, index) =>
    encode({
      isFinal: index === ends.length - 1,
      reserved: 0,
      opcode: index === 0 ? 1 : 0,
      isMasked: true,
      payload: request.subarray(ends[index - 1] ?? 0, end),
      declaredLength: null,
    }),
  );
});
const upgrade = [
  'GET /v1/responses HTTP/1.1',
  'Host: localhost',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
].join('\r\n');
const heads = fc.oneof(
  { weight: 8, arbitrary: fc.constant(Buffer.from(`${upgrade}\r\n\r\n`)) },
  { weight: 1, arbitrary: fc.nat({ max: upgrade.length }).map((end) => Buffer.from(upgrade.slice(0, end))) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)) },
);
const parts = fc.oneof(
  fc.array(
    fc.oneof(
      { weight: 4, arbitrary: frames.map(encode) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)) },
    ),
    { maxLength: 5 },
  ),
  inFragments,
);

/** Sends all, then the end of the stream or a reset, and waits until the connection is gone. */
async function send(head: Buffer, bytes: readonly Buffer[], isReset: boolean): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  socket.resume();
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
  });
  await once(socket, 'connect');
  for (const chunk of [head, ...bytes]) {
    socket.write(chunk);
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (isReset) socket.resetAndDestroy();
  else socket.end();
  await closed;
}

test('no bytes on a socket make the server fail', async () => {
  await fc.assert(
    fc.asyncProperty(heads, parts, fc.boolean(), async (head, bytes, isReset) => {
      await send(head, bytes, isReset);
      await expectSound(server);
    }),
    runs(0.15),
  );
});
