import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StepCosts } from '../../../src/decoding/step-costs.ts';

const newCosts = (): StepCosts =>
  new StepCosts({
    lengths: [16, 256, 1024],
    plainSeconds: [2, 4, 10],
    verifyRatios: [1, 1, 1.25, 1.5],
    draftSeconds: [0, 0.5, 1],
  });

const observePlain = (costs: StepCosts, ...seconds: number[]): void => {
  for (const each of seconds) costs.observePlain(16, each);
};

describe('StepCosts', () => {
  it.each([
    [0, 2],
    [16, 2],
    [136, 3],
    [256, 4],
    [640, 7],
    [1024, 10],
    [5000, 10],
  ])(
    'costs a plain step behind %i positions %f s: linear between what was measured, constant outside',
    (length, seconds) => {
      expect(newCosts().plainSeconds(length)).toBeCloseTo(seconds, 12);
    },
  );

  it('never leaves the range of what was measured', () => {
    fc.assert(
      fc.property(fc.nat(3000), (length) => {
        const seconds = newCosts().plainSeconds(length);
        expect(seconds).toBeGreaterThanOrEqual(2);
        expect(seconds).toBeLessThanOrEqual(10);
        expect(newCosts().plainSeconds(length + 1)).toBeGreaterThanOrEqual(seconds);
      }),
    );
  });

  it('costs a verify of a width its ratio of the plain step at that length', () => {
    expect(newCosts().verifySeconds(2, 256)).toBe(5);
    expect(newCosts().verifySeconds(3, 1024)).toBe(15);
    expect(newCosts().draftSeconds(2)).toBe(1);
  });

  it('corrects plain steps, and with them verifies, by the median of the latest', () => {
    const costs = newCosts();
    observePlain(costs, 4, 4); // ratios 1, 2, 2
    expect(costs.plainSeconds(256)).toBe(8);
    expect(costs.verifySeconds(2, 256)).toBe(10);
    expect(costs.draftSeconds(2)).toBe(1);
  });

  it('takes the mean of the middle two where their number is even', () => {
    const costs = newCosts();
    observePlain(costs, 4); // ratios 1, 2
    expect(costs.plainSeconds(16)).toBe(3);
  });

  it('relates an observation to the cost at its own length', () => {
    const costs = newCosts();
    for (let step = 0; step < 5; step += 1) costs.observePlain(1024, 20);
    expect(costs.plainSeconds(16)).toBe(4);
  });

  it('is not moved by a few outliers', () => {
    const costs = newCosts();
    observePlain(costs, 2, 2, 2, 2, 900, 900, 900, 2);
    expect(costs.plainSeconds(16)).toBe(2);
  });

  it('remembers nine steps and no more', () => {
    const costs = newCosts();
    observePlain(costs, 20, 20, 20, 20, 20, 20, 20, 20, 20, 6, 6, 6, 6);
    expect(costs.plainSeconds(16)).toBe(20);
    observePlain(costs, 6);
    expect(costs.plainSeconds(16)).toBe(6);
  });

  it('moves the cost of a verify a twentieth of the way to what it took, that width alone', () => {
    const costs = newCosts();
    costs.observeVerify(2, 256, 8); // twice the plain step
    expect(costs.verifySeconds(2, 256)).toBeCloseTo(4 * (1.25 + 0.05 * 0.75), 12);
    expect(costs.verifySeconds(3, 256)).toBe(6);
    for (let round = 0; round < 500; round += 1) costs.observeVerify(2, 16, 4);
    expect(costs.verifySeconds(2, 1024)).toBeCloseTo(20, 6);
  });

  it('does not take a slower machine for a dearer verify', () => {
    const costs = newCosts();
    observePlain(costs, 4, 4, 4);
    for (let round = 0; round < 50; round += 1) costs.observeVerify(2, 16, 5);
    expect(costs.verifySeconds(2, 16)).toBeCloseTo(5, 9);
  });

  it('moves the cost of drafting a twentieth of the way to what it took', () => {
    const costs = newCosts();
    costs.observeDraft(2, 3);
    expect(costs.draftSeconds(2)).toBeCloseTo(1.1, 12);
    expect(costs.draftSeconds(1)).toBe(0.5);
  });
});
