import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { HOLD_MS, LONG_HOLD_MS, Outbox } from '../../../src/engine/outbox.ts';

let sent: string[][];
let outbox: Outbox<string>;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'performance'] });
  sent = [];
  outbox = new Outbox((messages) => sent.push(messages));
});

afterEach(() => {
  vi.useRealTimers();
});

it('sends together what is added before the thread gets to it', () => {
  outbox.add('a');
  outbox.add('b');
  expect(sent).toEqual([]);
  vi.advanceTimersByTime(0);
  expect(sent).toEqual([['a', 'b']]);
});

it('lets what may wait wait until enough time has passed since something was sent', () => {
  outbox.add('a');
  vi.advanceTimersByTime(0);
  outbox.add('b', HOLD_MS);
  vi.advanceTimersByTime(HOLD_MS / 2);
  outbox.add('c', HOLD_MS);
  expect(sent).toEqual([['a']]);
  vi.advanceTimersByTime(HOLD_MS / 2);
  expect(sent).toEqual([['a'], ['b', 'c']]);
});

it('sends at once what may wait where nothing was sent for as long', () => {
  outbox.add('a', HOLD_MS);
  vi.advanceTimersByTime(0);
  vi.advanceTimersByTime(HOLD_MS);
  outbox.add('b', HOLD_MS);
  vi.advanceTimersByTime(0);
  expect(sent).toEqual([['a'], ['b']]);
});

it('sends what waits before what may not, in one', () => {
  outbox.add('a');
  vi.advanceTimersByTime(0);
  outbox.add('b', HOLD_MS);
  outbox.add('c');
  vi.advanceTimersByTime(0);
  expect(sent).toEqual([['a'], ['b', 'c']]);
  vi.advanceTimersByTime(2 * HOLD_MS);
  expect(sent).toHaveLength(2);
});

it('sends everything when flushed, and nothing twice', () => {
  outbox.add('a');
  vi.advanceTimersByTime(0);
  outbox.add('b', HOLD_MS);
  outbox.flush();
  outbox.flush();
  vi.advanceTimersByTime(2 * HOLD_MS);
  expect(sent).toEqual([['a'], ['b']]);
});

it('lets what may wait longer wait longer, and sends it with what may not', () => {
  outbox.add('a');
  vi.advanceTimersByTime(0);
  outbox.add('b', LONG_HOLD_MS);
  vi.advanceTimersByTime(2 * HOLD_MS);
  expect(sent).toEqual([['a']]);
  outbox.add('c', HOLD_MS);
  vi.advanceTimersByTime(0);
  expect(sent).toEqual([['a'], ['b', 'c']]);
  outbox.add('d', LONG_HOLD_MS);
  vi.advanceTimersByTime(LONG_HOLD_MS);
  expect(sent).toEqual([['a'], ['b', 'c'], ['d']]);
});
