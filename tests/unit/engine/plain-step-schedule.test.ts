import { expect, it } from 'vitest';
import { PlainStepSchedule } from '../../../src/engine/plain-step-schedule.ts';

it('takes plain steps every 96 rounds until it took 10, then every 256', () => {
  const schedule = new PlainStepSchedule();
  const due: number[] = [];
  for (let round = 1; round <= 1300; round += 1) if (schedule.isDue(true)) due.push(round);
  expect(due.slice(0, 3)).toEqual([96, 192, 288]);
  expect(due.slice(8)).toEqual([864, 960, 1216]);
});

it('counts three rounds without drafts as one', () => {
  const schedule = new PlainStepSchedule();
  const due: number[] = [];
  for (let round = 1; round <= 600; round += 1) if (schedule.isDue(round % 4 === 0)) due.push(round);
  // Of four rounds, one with drafts and three without: two of them.
  expect(due[0]).toBeGreaterThan(2 * 96 - 4);
  expect(due[0]).toBeLessThan(2 * 96 + 4);
});
