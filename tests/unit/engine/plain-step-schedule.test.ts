import { expect, it } from 'vitest';
import { PlainStepSchedule } from '../../../src/engine/plain-step-schedule.ts';

it('takes plain steps every 192 rounds until it took 6, then every 512', () => {
  const schedule = new PlainStepSchedule();
  const due: number[] = [];
  for (let round = 1; round <= 2200; round += 1) if (schedule.isDue(true)) due.push(round);
  expect(due.slice(0, 3)).toEqual([192, 384, 576]);
  expect(due.slice(4)).toEqual([960, 1152, 1664, 2176]);
});

it('counts three rounds without drafts as one', () => {
  const schedule = new PlainStepSchedule();
  const due: number[] = [];
  for (let round = 1; round <= 600; round += 1) if (schedule.isDue(round % 4 === 0)) due.push(round);
  // Of four rounds, one with drafts and three without: two of them.
  expect(due[0]).toBeGreaterThan(2 * 192 - 4);
  expect(due[0]).toBeLessThan(2 * 192 + 4);
});
