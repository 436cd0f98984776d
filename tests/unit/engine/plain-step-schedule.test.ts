import { expect, it } from 'vitest';
import { PlainStepSchedule } from '../../../src/engine/plain-step-schedule.ts';

it('takes plain steps every 32 rounds until it took 32, then every 128', () => {
  const schedule = new PlainStepSchedule();
  const due: number[] = [];
  for (let round = 1; round <= 1300; round += 1) if (schedule.isDue()) due.push(round);
  expect(due.slice(0, 3)).toEqual([32, 64, 96]);
  expect(due.slice(30)).toEqual([992, 1024, 1152, 1280]);
});
