import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { RequestMeter } from '../../../src/engine/request-meter.ts';
import type { RoundStats } from '../../../src/metrics/engine-observer.ts';

const round = (numDraftTokens: number, numAcceptedDraftTokens: number): RoundStats => ({
  numSharing: 1,
  numDraftTokens,
  numAcceptedDraftTokens,
  drafter: 'mtp',
  draftSeconds: 0.25,
  verifySeconds: 0.5,
  sampleSeconds: 0.125,
});

describe('RequestMeter', () => {
  it('tells the time between outputs', async () => {
    const meter = new RequestMeter(4);
    expect(meter.sinceLastOutput()).toBe(0);
    await sleep(20);
    const seconds = meter.sinceLastOutput();
    expect(seconds).toBeGreaterThan(0.01);
    expect(meter.sinceLastOutput()).toBeLessThan(seconds);
  });

  it('adds up rounds', () => {
    const meter = new RequestMeter(3);
    meter.started();
    meter.prefilled(0.75, 11, 7);
    meter.addRound({ ...round(3, 2), drafter: 'prompt_lookup' }, 1, 3);
    meter.addRound(round(0, 0), 2, 1.5);
    meter.addRound(round(2, 0), 4, 1.5);
    expect(meter.baselineSeconds).toBe(6);
    const baseline = { method: 'calibrated', seconds: 6 } as const;
    const report = meter.report(11, 6, baseline);
    expect(report).toMatchObject({
      numPromptTokens: 11,
      numQueriedTokens: 11,
      numCachedTokens: 7,
      numCompletionTokens: 6,
      baseline,
      timings: {
        prefillSeconds: 0.75,
        decodeSeconds: 7,
        draftSeconds: 0.75,
        verifySeconds: 1.5,
        sampleSeconds: 0.375,
      },
    });
    expect(report.speculation).toEqual({
      numSpecTokens: 3,
      numSpecSteps: 2,
      numDraftTokens: 5,
      numAcceptedDraftTokens: 2,
      acceptanceHistogram: [1, 0, 1, 0],
      numReachedPerPosition: [2, 1, 1],
      numAcceptedPerPosition: [1, 1, 0],
      promptLookup: { numSpecSteps: 1, numDraftTokens: 3, numAcceptedDraftTokens: 2 },
      earlierText: { numSpecSteps: 0, numDraftTokens: 0, numAcceptedDraftTokens: 0 },
    });
  });

  it('has looked nothing up where nothing was prefilled', () => {
    expect(new RequestMeter(3).report(11, 0, null)).toMatchObject({
      numPromptTokens: 11,
      numQueriedTokens: 0,
      numCachedTokens: 0,
    });
  });

  it('counts the time to the first token from admission, and in it the queue', async () => {
    const meter = new RequestMeter(0);
    await sleep(2);
    meter.started();
    await sleep(2);
    meter.prefilled(0, 1, 0);
    await sleep(2);
    const { timings } = meter.report(1, 1, null);
    expect(timings.queueSeconds).toBeGreaterThan(0);
    expect(timings.timeToFirstTokenSeconds).toBeGreaterThan(timings.queueSeconds);
    expect(timings.totalSeconds).toBeGreaterThan(timings.timeToFirstTokenSeconds);
  });

  it('does not take the start of a replay for another time in the queue', async () => {
    const meter = new RequestMeter(0);
    meter.started();
    const { queueSeconds } = meter.report(1, 0, null).timings;
    await sleep(2);
    meter.started();
    expect(meter.report(1, 0, null).timings.queueSeconds).toBe(queueSeconds);
  });

  it('has been in the queue all the time where the request never started', async () => {
    const meter = new RequestMeter(0);
    const { queueSeconds } = meter.report(1, 0, null).timings;
    await sleep(2);
    const { timings } = meter.report(1, 0, null);
    expect(timings.queueSeconds).toBeGreaterThan(queueSeconds);
    expect(timings).toMatchObject({ prefillSeconds: 0, timeToFirstTokenSeconds: 0, decodeSeconds: 0 });
  });

  it('gives a report that later rounds leave as it is', () => {
    const meter = new RequestMeter(2);
    const before = meter.report(1, 1, null);
    meter.addRound(round(2, 1), 1, 1);
    expect(before.speculation).toMatchObject({ numSpecSteps: 0, acceptanceHistogram: [0, 0, 0] });
    expect(before.timings.decodeSeconds).toBe(0);
  });
});
