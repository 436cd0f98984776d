import { expect, it } from 'vitest';
import { PlainStepSchedule } from '../../../src/engine/plain-step-schedule.ts';

it('takes plain steps often at first, then every 128 rounds', () => {
  const schedule = new PlainStepSchedule();
  const due: number[] = [];
  for (let round = 1; round <= 500; round += 1) if (schedule.isDue()) due.push(round);
  expect(due).toEqual([16, 48, 112, 240, 368, 496]);
});
