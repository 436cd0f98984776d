import { describe, expect, it } from 'vitest';
import { ForetokenError } from '../../../src/errors.ts';
import { RecordedRun, RUN_ID, textOf } from '../../support/recorded-run.ts';

const death = new ForetokenError('engine_failed', 'the worker died');
const started = { type: 'request-started', id: RUN_ID } as const;

describe('a run whose worker dies', () => {
  it('waits on, however often, if it was in the queue', async () => {
    const run = new RecordedRun();
    for (let count = 0; count < 3; count += 1) run.run.workerDied(death);
    run.run.start();
    expect(run.sent[1]).toEqual(run.sent[0]);
    run.prefill('a', 'stop');
    expect(textOf(await run.events())).toBe('a');
  });

  it('begins anew, in the queue, if nothing was given away', async () => {
    const run = new RecordedRun();
    run.run.receive(started);
    run.run.workerDied(death);
    expect(run.run.isStarted).toBe(false);
    run.run.start();
    expect(run.sent[1]).toEqual(run.sent[0]);
    run.prefill('a');
    run.decide('bc', 'length');
    expect(textOf(await run.events())).toBe('abc');
    expect(run.outcomes).toMatchObject([{ outcome: 'length', report: { numCompletionTokens: 3 } }]);
    expect(run.numDone).toBe(1);
  });

  it('begins anew once only', async () => {
    const run = new RecordedRun();
    for (let count = 0; count < 2; count += 1) {
      run.run.receive(started);
      run.run.workerDied(death);
    }
    await expect(run.events()).rejects.toBe(death);
    expect(run.outcomes).toMatchObject([{ outcome: 'error' }]);
    expect(run.numDone).toBe(1);
  });

  it('fails after what it had given away', async () => {
    const run = new RecordedRun();
    run.prefill('a');
    run.run.workerDied(death);
    const events = run.run.events[Symbol.asyncIterator]();
    expect((await events.next()).value).toMatchObject({ text: 'a' });
    await expect(events.next()).rejects.toBe(death);
    expect(run.outcomes).toMatchObject([{ outcome: 'error', report: { numCompletionTokens: 1 } }]);
  });

  it('fails once its prompt was given away', async () => {
    const run = new RecordedRun({ echo: true });
    run.prefill('a');
    run.run.workerDied(death);
    expect(run.outcomes).toMatchObject([{ outcome: 'error' }]);
  });

  it('begins anew in mid-text if its reader takes all at once, and counts the second attempt alone', async () => {
    const run = new RecordedRun({ isWhole: true, stop: ['never'] });
    run.prefill('a');
    run.decide('b ne');
    run.run.workerDied(death);
    run.run.start();
    run.prefill('a');
    run.decide('bcd', 'length');
    const events = await run.events();
    expect(textOf(events)).toBe('abcd');
    expect(events.at(-1)).toMatchObject({
      type: 'generation-finished',
      report: { numCompletionTokens: 4, speculation: { numSpecSteps: 1 }, timings: { decodeSeconds: 1 } },
    });
    expect(run.outcomes).toHaveLength(1);
  });

  it('gives a reader who takes all at once nothing before the end', async () => {
    const run = new RecordedRun({ isWhole: true });
    const first = run.run.events[Symbol.asyncIterator]().next();
    let hasCome = false;
    void first.then(() => (hasCome = true));
    run.prefill('a');
    await new Promise((resolve) => setImmediate(resolve));
    expect(hasCome).toBe(false);
    run.decide('b', 'stop');
    expect((await first).value).toMatchObject({ text: 'ab' });
  });

  it('keeps its text, with the calibrated baseline, if only the measured one was missing', async () => {
    const run = new RecordedRun({}, { measureBaseline: true });
    run.prefill('a');
    run.decide('bc', 'length');
    run.run.workerDied(death);
    expect((await run.events()).at(-1)).toMatchObject({
      type: 'generation-finished',
      report: { numCompletionTokens: 3, baseline: { method: 'calibrated', seconds: 2 } },
    });
    expect(run.outcomes).toMatchObject([{ outcome: 'length' }]);
  });

  it('stays ended if it has ended', async () => {
    const run = new RecordedRun();
    run.prefill('a', 'stop');
    run.run.workerDied(death);
    const aborted = new RecordedRun();
    aborted.run.abort();
    aborted.run.workerDied(death);
    expect([run.outcomes.length, aborted.outcomes.length]).toEqual([1, 1]);
    expect(textOf(await run.events())).toBe('a');
  });
});
