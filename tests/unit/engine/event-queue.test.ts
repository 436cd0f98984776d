import { describe, expect, it } from 'vitest';
import { EventQueue } from '../../../src/engine/event-queue.ts';

async function collect(queue: AsyncIterable<number>): Promise<number[]> {
  const events: number[] = [];
  for await (const event of queue) events.push(event);
  return events;
}

describe('EventQueue', () => {
  const newQueue = (): { queue: EventQueue<number>; numReturns: () => number } => {
    let count = 0;
    const queue = new EventQueue<number>(() => {
      count += 1;
    });
    return { queue, numReturns: () => count };
  };

  it('delivers in order what was pushed before and during the iteration', async () => {
    const { queue, numReturns } = newQueue();
    queue.push(1);
    queue.push(2);
    const collected = collect(queue);
    for (let event = 3; event <= 6; event += 1) {
      if (event % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
      queue.push(event);
    }
    expect(numReturns()).toBe(0);
    queue.end();
    expect(await collected).toEqual([1, 2, 3, 4, 5, 6]);
    expect(numReturns()).toBe(1);
  });

  it('joins what nobody has taken, and only that', async () => {
    const queue = new EventQueue<string>(
      () => {},
      (earlier, later) => (earlier.length + later.length > 3 ? null : earlier + later),
    );
    const events = queue[Symbol.asyncIterator]();
    for (const event of ['a', 'b', 'c', 'd']) queue.push(event);
    expect((await events.next()).value).toBe('abc');
    queue.push('e');
    expect((await events.next()).value).toBe('de');
    queue.push('f');
    expect((await events.next()).value).toBe('f');
  });

  it('wakes whoever waits when it ends', async () => {
    const { queue } = newQueue();
    const next = queue[Symbol.asyncIterator]().next();
    queue.end();
    expect(await next).toEqual({ done: true, value: undefined });
  });

  it('delivers what was pushed before a failure, then throws it', async () => {
    const { queue, numReturns } = newQueue();
    queue.push(1);
    queue.push(2);
    queue.fail(new Error('the worker ended'));
    const events: number[] = [];
    const iterate = async (): Promise<void> => {
      for await (const event of queue) events.push(event);
    };
    await expect(iterate()).rejects.toThrow('the worker ended');
    expect(events).toEqual([1, 2]);
    expect(numReturns()).toBe(1);
  });

  it('throws to whoever waits', async () => {
    const { queue } = newQueue();
    const next = queue[Symbol.asyncIterator]().next();
    queue.fail(new Error('the worker ended'));
    await expect(next).rejects.toThrow('the worker ended');
  });

  it('ends as it ended first, and takes nothing more', async () => {
    const ended = newQueue().queue;
    ended.push(1);
    ended.end();
    ended.push(2);
    ended.fail(new Error('too late'));
    expect(await collect(ended)).toEqual([1]);
    const failed = newQueue().queue;
    failed.fail(new Error('first'));
    failed.end();
    failed.fail(new Error('second'));
    await expect(collect(failed)).rejects.toThrow('first');
  });

  it('tells once when its reader leaves early', async () => {
    const { queue, numReturns } = newQueue();
    queue.push(1);
    queue.push(2);
    const events = queue[Symbol.asyncIterator]();
    expect(await events.next()).toEqual({ done: false, value: 1 });
    expect(numReturns()).toBe(0);
    await events.return();
    await events.return();
    expect(numReturns()).toBe(1);
    expect(await events.next()).toEqual({ done: true, value: undefined });
  });

  it('tells when its reader throws', async () => {
    const { queue, numReturns } = newQueue();
    queue.push(1);
    const iterate = async (): Promise<void> => {
      for await (const event of queue) throw new Error(`cannot take ${event}`);
    };
    await expect(iterate()).rejects.toThrow('cannot take 1');
    expect(numReturns()).toBe(1);
  });
});
