import { expect, test } from 'vitest';
import { Neighbours } from '../../../src/engine/neighbours.ts';

test('are busy while any other worker has a request, and a moment longer', () => {
  const load = new Int32Array(new SharedArrayBuffer(3 * Int32Array.BYTES_PER_ELEMENT));
  const neighbours = new Neighbours(load, 1);
  expect(neighbours.areBusy(1000)).toBe(false);
  load[1] = 2;
  expect(neighbours.areBusy(1001)).toBe(false);
  load[2] = 1;
  expect(neighbours.areBusy(1002)).toBe(true);
  load[2] = 0;
  expect(neighbours.areBusy(1200)).toBe(true);
  expect(neighbours.areBusy(1252)).toBe(false);
});
