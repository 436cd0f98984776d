import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SharingCosts, StepCosts } from '../../../src/decoding/step-costs.ts';

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

  it('costs by how many share a pass, all as much slower as plain steps alone have become', () => {
    const measured = { lengths: [16], verifyRatios: [1, 1, 1.5], draftSeconds: [0] };
    const bySharing = new Map([
      [1, { ...measured, plainSeconds: [2] }],
      [4, { ...measured, plainSeconds: [1] }],
    ]);
    const costs = new SharingCosts({ bySharing, solo: null });
    observePlain(costs.of(1), ...Array<number>(16).fill(3));
    expect([1, 4].map((numSharing) => costs.of(numSharing).plainSeconds(16))).toEqual([3, 1.5]);
  });

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

  it('corrects plain steps by the mean of the latest and of four counted for the start', () => {
    const costs = newCosts();
    observePlain(costs, 3, 3, 3, 3); // 0, 0, 0, 0, 1, 1, 1 and 1 s more than promised
    expect(costs.plainSeconds(256)).toBeCloseTo(4.5, 12);
    expect(costs.verifySeconds(2, 256)).toBe(5);
    expect(costs.draftSeconds(2)).toBe(1);
  });

  it('takes from an observation what is beyond the cost at its own length', () => {
    const costs = newCosts();
    for (let step = 0; step < 16; step += 1) costs.observePlain(1024, 12);
    expect(costs.plainSeconds(16)).toBeCloseTo(4, 12);
  });

  it('counts an interruption as twice what a step takes', () => {
    const costs = newCosts();
    observePlain(costs, 900);
    expect(costs.plainSeconds(16)).toBeCloseTo(2 + 2 / 5, 12);
  });

  it('remembers 16 plain steps and no more', () => {
    const costs = newCosts();
    observePlain(costs, 4);
    for (let step = 0; step < 15; step += 1) observePlain(costs, 3);
    expect(costs.plainSeconds(16)).toBeGreaterThan(3);
    observePlain(costs, 3);
    expect(costs.plainSeconds(16)).toBeCloseTo(3, 12);
  });

  it('moves the cost of every forward by a fiftieth of what one took more', () => {
    const costs = newCosts();
    costs.observeVerify(2, 256, 10); // 5 s more than expected
    expect(costs.verifySeconds(2, 256)).toBeCloseTo(5.1, 12);
    expect(costs.verifySeconds(3, 1024)).toBeCloseTo(15.1, 12);
    expect(costs.plainSeconds(256)).toBeCloseTo(4.1, 12);
    for (let round = 0; round < 1000; round += 1) costs.observeVerify(2, 16, 3.5);
    expect(costs.verifySeconds(3, 256)).toBeCloseTo(7, 6);
    expect(costs.plainSeconds(256)).toBeCloseTo(5, 6);
  });

  it('learns from plain steps what verifies tell wrongly, and follows verifies between them', () => {
    const costs = newCosts();
    for (let round = 0; round < 1000; round += 1) costs.observeVerify(3, 16, 4); // 1 s more
    observePlain(costs, ...Array<number>(16).fill(2.5)); // half a second more
    expect(costs.plainSeconds(16)).toBeCloseTo(2.5, 6);
    for (let round = 0; round < 1000; round += 1) costs.observeVerify(2, 16, 5); // 2.5 s more
    expect(costs.plainSeconds(16)).toBeCloseTo(4, 6);
  });

  it('never believes that a forward takes less than a quarter of what it took at start', () => {
    const costs = newCosts();
    for (let round = 0; round < 1000; round += 1) costs.observeVerify(3, 1024, 5); // 10 s less
    expect(costs.plainSeconds(16)).toBe(0.5);
    expect(costs.verifySeconds(2, 16)).toBe(2.5 / 4);
  });

  it('moves the cost of every draft a twentieth of the way to what one took', () => {
    const costs = newCosts();
    costs.observeDraft(2, 2);
    expect(costs.draftSeconds(2)).toBeCloseTo(1.05, 12);
    expect(costs.draftSeconds(1)).toBeCloseTo(0.525, 12);
  });

  it('lets no interruption move a cost by more than one of twice what is usual', () => {
    const costs = newCosts();
    costs.observeVerify(2, 256, 5000);
    costs.observeDraft(1, 5000);
    expect(costs.verifySeconds(2, 256)).toBeCloseTo(5.1, 12);
    expect(costs.draftSeconds(1)).toBeCloseTo(0.525, 12);
  });

  it('goes back to what drafts cost at start while none are made, if they have come to cost more', () => {
    const costs = newCosts();
    for (let round = 0; round < 100; round += 1) costs.observeDraft(1, 5);
    expect(costs.draftSeconds(1)).toBeGreaterThan(2);
    for (let round = 0; round < 1000; round += 1) costs.observeNoDrafts();
    expect(costs.draftSeconds(1)).toBeCloseTo(0.5, 1);
    for (let round = 0; round < 100; round += 1) costs.observeDraft(1, 0.1);
    const cheaper = costs.draftSeconds(1);
    costs.observeNoDrafts();
    expect(costs.draftSeconds(1)).toBe(cheaper);
  });

  it('follows what a round takes beside its forwards, one wild value counted as twice the usual', () => {
    const costs = newCosts();
    expect(costs.roundSeconds).toBe(0);
    costs.observeRound(2);
    expect(costs.roundSeconds).toBe(2);
    costs.observeRound(1000);
    expect(costs.roundSeconds).toBeCloseTo(2.1, 12);
  });

  it.each([-1e-3, -1e9, 0])(
    'recovers from a round whose parts took it all and %d seconds more',
    (seconds) => {
      for (const before of [[], [1e-4]]) {
        const costs = newCosts();
        for (const rest of [...before, seconds]) costs.observeRound(rest);
        expect(costs.roundSeconds).toBeGreaterThan(0);
        for (let round = 0; round < 300; round += 1) costs.observeRound(1e-4);
        expect(costs.roundSeconds).toBeCloseTo(1e-4, 6);
      }
    },
  );
});
