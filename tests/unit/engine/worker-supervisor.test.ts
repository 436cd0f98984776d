import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { MainMessage } from '../../../src/engine/protocol.ts';
import { WorkerSupervisor, type WorkerThread } from '../../../src/engine/worker-supervisor.ts';

class FakeThread extends EventEmitter implements WorkerThread {
  readonly received: MainMessage[] = [];

  postMessage(message: MainMessage): void {
    this.received.push(message);
  }

  say(...messages: object[]): void {
    this.emit('message', messages);
  }

  ready(): void {
    this.say({ type: 'engine-ready' });
  }
}

describe('WorkerSupervisor', () => {
  let threads: FakeThread[];
  let told: string[];
  let supervisor: WorkerSupervisor;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    threads = [];
    told = [];
    supervisor = new WorkerSupervisor(
      () => {
        threads.push(new FakeThread());
        return threads.at(-1)!;
      },
      {
        received: (message) => told.push(message.type),
        died: (reason, pauseMs) => told.push(`died: ${reason.message}, ${pauseMs}`),
        restarted: () => told.push('restarted'),
        failedToStart: (reason) => told.push(`failed to start: ${reason.code}: ${reason.message}`),
        gaveUp: (reason) => told.push(`gave up: ${reason.message}`),
      },
    );
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const latest = (): FakeThread => threads.at(-1)!;

  it('starts another worker after pauses that grow, and gives up at the fifth death in a row', () => {
    latest().ready();
    for (const [index, pauseMs] of [250, 500, 1000, 2000].entries()) {
      latest().emit('exit', 7);
      expect(told.at(-1)).toBe(`died: the engine worker ended with exit code 7, ${pauseMs}`);
      vi.advanceTimersByTime(pauseMs - 1);
      expect(threads).toHaveLength(index + 1);
      vi.advanceTimersByTime(1);
      expect(threads).toHaveLength(index + 2);
      expect(told.at(-1)).toBe('restarted');
    }
    latest().emit('exit', 7);
    expect(told.at(-1)).toBe('gave up: the engine worker ended with exit code 7');
    vi.runAllTimers();
    expect(threads).toHaveLength(5);
  });

  it('counts anew after a success', () => {
    latest().ready();
    for (let count = 0; count < 20; count += 1) {
      latest().emit('exit', 1);
      expect(told.at(-1)).toMatch(/^died: .*, 250$/);
      vi.runAllTimers();
      latest().ready();
      supervisor.succeeded();
    }
    expect(threads).toHaveLength(21);
  });

  it('does not start another in place of one that never was ready, and says why it was not', () => {
    latest().say({
      type: 'engine-failed',
      code: 'invalid_model',
      message: 'not a model',
      param: null,
    });
    expect(told).toEqual([]);
    latest().emit('exit', 0);
    vi.runAllTimers();
    expect([threads.length, told]).toEqual([1, ['failed to start: invalid_model: not a model']]);
  });

  it('goes on where a later one fails to load', () => {
    latest().ready();
    latest().emit('exit', 1);
    vi.runAllTimers();
    latest().say({
      type: 'engine-failed',
      code: 'invalid_model',
      message: 'not there',
      param: null,
    });
    latest().emit('exit', 0);
    expect(told.at(-1)).toBe('died: not there, 500');
  });

  it.each([
    [new Error('out of memory'), 'the engine worker failed: out of memory'],
    ['a text', 'the engine worker failed: a text'],
  ])('tells what was thrown, once', (thrown, message) => {
    latest().ready();
    told = [];
    latest().emit('error', thrown);
    latest().emit('exit', 1);
    expect(told).toEqual([`died: ${message}, 250`]);
  });

  it('sends to the worker of the moment', () => {
    const abort = (id: number): MainMessage => ({ type: 'request-abort', id });
    supervisor.send(abort(1));
    latest().ready();
    latest().emit('exit', 1);
    supervisor.send(abort(2));
    vi.runAllTimers();
    supervisor.send(abort(3));
    expect(threads.map(({ received }) => received)).toEqual([[abort(1)], [abort(3)]]);
  });

  it('closes its worker by a message, and waits for its end', async () => {
    latest().ready();
    let hasClosed = false;
    const closed = supervisor.close().then(() => (hasClosed = true));
    await Promise.resolve();
    expect([latest().received, hasClosed]).toEqual([[{ type: 'engine-close' }], false]);
    latest().emit('exit', 0);
    await closed;
    vi.runAllTimers();
    expect([threads.length, told]).toEqual([1, ['engine-ready']]);
  });

  it('starts nothing once closed', async () => {
    latest().ready();
    latest().emit('exit', 1);
    await supervisor.close();
    vi.runAllTimers();
    expect(threads).toHaveLength(1);
  });
});
