import { expect, test } from 'vitest';
import { fastest } from '../../../src/engine/fastest-threads.ts';

const threads = [1, 2, 4];

test('takes the fastest where it is clearly so', () => {
  expect(fastest(threads, [4, 2, 1])).toBe(4);
  expect(fastest(threads, [4, 2, 3])).toBe(2);
  expect(fastest(threads, [1, 2, 3])).toBe(1);
});

test('takes fewer threads where more gain little', () => {
  expect(fastest(threads, [1, 0.8, 0.8])).toBe(1);
  expect(fastest(threads, [1, 0.7, 0.6])).toBe(2);
});
