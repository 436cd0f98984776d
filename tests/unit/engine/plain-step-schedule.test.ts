import { expect, it } from 'vitest';
import { PlainStepSchedule } from '../../../src/engine/plain-step-schedule.ts';

it('takes plain steps every 96 rounds until it took 10, then every 256', () => {
  const schedule = new PlainStepSchedule();
  const due: number[] = [];
  for (let round = 1; round <= 1300; round += 1) if (schedule.isDue()) due.push(round);
  expect(due.slice(0, 3)).toEqual([96, 192, 288]);
  expect(due.slice(8)).toEqual([864, 960, 1216]);
});
