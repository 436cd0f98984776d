/** Server-sent events over HTTP. Knows nothing of what the events mean. */
import { Readable } from 'node:stream';
import type { ErrorBody } from './error-body.ts';

export const sseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  // Asks reverse proxies to pass events on as they come.
  'x-accel-buffering': 'no',
};

/** Bytes that may wait for a slow reader; the source is not asked for more until they have left. */
const maxBufferedBytes = 16 * 1024;

/**
 * Waits for the first item, so that a failure before it can still be answered with a status code, and gives the items
 * back as one stream.
 */
export async function started<T>(items: AsyncIterable<T>): Promise<AsyncIterable<T>> {
  const iterator = items[Symbol.asyncIterator]();
  const first = await iterator.next();
  return (async function* () {
    try {
      for (let result = first; result.done !== true; result = await iterator.next()) yield result.value;
    } finally {
      await iterator.return?.();
    }
  })();
}

async function* frames(items: AsyncIterable<unknown>, describeError: (error: unknown) => ErrorBody) {
  try {
    for await (const item of items) yield frame(item);
    yield 'data: [DONE]\n\n';
  } catch (error) {
    yield frame(describeError(error));
  }
}

function frame(item: unknown): string {
  return `data: ${JSON.stringify(item)}\n\n`;
}

/** A byte stream of one event an item, ended by `[DONE]`, or by an error event where the items fail. */
export function sseStream(
  items: AsyncIterable<unknown>,
  describeError: (error: unknown) => ErrorBody,
): Readable {
  return Readable.from(frames(items, describeError), { objectMode: false, highWaterMark: maxBufferedBytes });
}
