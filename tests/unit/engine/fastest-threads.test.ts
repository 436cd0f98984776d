import { expect, test } from 'vitest';
import { fastest } from '../../../src/engine/fastest-threads.ts';

const threads = [1, 2, 4];

test('takes the fastest where it is clearly so', () => {
  expect(fastest(threads, [4, 2, 1], true)).toEqual({ shared: 4, solo: null });
  expect(fastest(threads, [4, 2, 3], true)).toEqual({ shared: 2, solo: null });
  expect(fastest(threads, [1, 2, 3], true)).toEqual({ shared: 1, solo: null });
});

test('takes fewer threads where more gain little, but for who has them all', () => {
  expect(fastest(threads, [1, 0.85, 0.78], true)).toEqual({ shared: 1, solo: 4 });
  expect(fastest(threads, [1, 0.8, 0.9], true)).toEqual({ shared: 1, solo: 2 });
  expect(fastest(threads, [1, 0.7, 0.6], true)).toEqual({ shared: 2, solo: 4 });
});

test('takes no more threads for what is within noise', () => {
  expect(fastest(threads, [1, 0.97, 0.96], true)).toEqual({ shared: 1, solo: null });
  expect(fastest(threads, [1, 0.8, 0.79], true)).toEqual({ shared: 1, solo: 2 });
});

test('takes all that are of use where there is no other worker', () => {
  expect(fastest(threads, [1, 0.85, 0.78], false)).toEqual({ shared: 4, solo: null });
  expect(fastest(threads, [1, 0.97, 0.96], false)).toEqual({ shared: 1, solo: null });
});
