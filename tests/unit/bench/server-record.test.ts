import { describe, expect, it } from 'vitest';
import { serverTable, summariseServer } from '../../../scripts/bench/server-record.ts';
import { percentile } from '../../../scripts/bench/statistics.ts';

describe('percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);

  it.each([
    [50, 50],
    [95, 95],
    [99, 99],
    [100, 100],
    [0, 1],
  ])('%i of 1 to 100 is %i', (percent, value) => {
    expect(percentile(hundred, percent)).toBe(value);
  });

  it('is the only value there is', () => {
    expect([percentile([7], 1), percentile([7], 99)]).toEqual([7, 7]);
    expect(() => percentile([], 50)).toThrow('at least one');
  });
});

describe('summariseServer', () => {
  const goal = { ttftMs: 100, tpotMs: 10 };
  const fast = { numTokens: 5, eventMs: [20, 30, 50] };
  const lateFirst = { numTokens: 5, eventMs: [101, 111, 121] };
  const slow = { numTokens: 3, eventMs: [20, 50] };

  it('counts tokens, and requests that keep both goals, by the second', () => {
    const row = summariseServer([fast, lateFirst, slow], 2, goal);
    expect(row).toMatchObject({ numRequests: 3, tokensPerSecond: 6.5, goodput: 0.5 });
    expect(row.ttftMs).toEqual({ p50: 20, p95: 101, p99: 101 });
    expect(row.itlMs).toEqual({ p50: 10, p95: 30, p99: 30 });
  });

  it('makes a row of the table', () => {
    const rows = [{ numClients: 4, speculation: 'auto' as const, ...summariseServer([fast], 2, goal) }];
    const facts = { date: '2026-01-01', machine: 'a CPU', node: 'v20', model: 'm' };
    const table = serverTable({ ...facts, numTokens: 5, secondsPerRow: 2, goal, rows });
    expect(table.split('\n').at(-1)).toBe(
      '| 4 | auto | 3 | 20.0 / 20.0 / 20.0 | 10.0 / 20.0 / 20.0 | 0.50 |',
    );
  });
});
