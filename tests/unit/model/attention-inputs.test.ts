import { describe, expect, it } from 'vitest';
import { AttentionBias, TokenIntegers } from '../../../src/model/attention-inputs.ts';

/** [tokens * groupSize][boundLength]: which positions each row may look at. */
function seen(bias: AttentionBias, pastLength: number, width: number, boundLength: number): boolean[][] {
  const { data, dims } = bias.tensor(pastLength, width, boundLength);
  expect(dims[0]).toBe(width);
  expect(dims[2]).toBe(boundLength);
  const numbers = [...data];
  for (const number of numbers) expect(number === 0 || number < -1e29).toBe(true);
  expect(numbers.every(Number.isFinite)).toBe(true);
  return Array.from({ length: width * dims[1]! }, (_, row) =>
    numbers.slice(row * boundLength, (row + 1) * boundLength).map((number) => number === 0),
  );
}

const upTo = (last: number, length: number): boolean[] =>
  Array.from({ length }, (_, position) => position <= last);

describe('AttentionBias', () => {
  it('lets every head of a token look as far as the token itself', () => {
    const rows = seen(new AttentionBias(2), 3, 2, 8);
    expect(rows).toEqual([upTo(3, 8), upTo(3, 8), upTo(4, 8), upTo(4, 8)]);
  });

  it('says nothing of what it said before, in whatever order sizes come', () => {
    const bias = new AttentionBias(1);
    for (const [past, width, length] of [
      [0, 1, 4],
      [10, 4, 64],
      [2, 2, 8],
      [100, 3, 128],
      [0, 1, 4],
      [11, 4, 64],
    ] as const) {
      const expected = Array.from({ length: width }, (_, token) => upTo(past + token, length));
      expect(seen(bias, past, width, length)).toEqual(expected);
    }
  });

  it('makes no tensor twice of the sizes that decoding repeats', () => {
    const bias = new AttentionBias(5);
    const wide = bias.tensor(20, 4, 64);
    expect(bias.tensor(21, 1, 64)).toBe(bias.tensor(22, 1, 64));
    expect(bias.tensor(24, 4, 64)).toBe(wide);
  });
});

it('TokenIntegers shares one buffer among the tensors of all widths', () => {
  const ids = new TokenIntegers(3);
  ids.numbers.set([7n, 8n, 9n]);
  expect([1, 2, 3].map((width) => [...(ids.tensor(width).data as BigInt64Array)])).toEqual([
    [7n],
    [7n, 8n],
    [7n, 8n, 9n],
  ]);
  expect(ids.tensor(2).dims).toEqual([1, 2]);
});
