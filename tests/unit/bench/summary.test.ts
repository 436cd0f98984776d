import { expect, it } from 'vitest';
import { medianMeasurement } from '../../../scripts/bench/summary.ts';
import { benchMeasurement } from '../../support/bench-samples.ts';

it('takes medians of what was timed, and is identical only if every repeat was', () => {
  const repeats = [3, 1, 2].map((speedup) => benchMeasurement(speedup));
  expect(medianMeasurement(repeats)).toMatchObject({
    tokensPerSecond: 200,
    measuredSpeedup: 2,
    speedupOverOff: 4,
    isIdentical: true,
  });
  const odd = { ...benchMeasurement(1), isIdentical: false };
  expect(medianMeasurement([...repeats, odd]).isIdentical).toBe(false);
});
