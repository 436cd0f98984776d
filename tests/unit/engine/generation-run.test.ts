import { describe, expect, it } from 'vitest';
import { ForetokenError } from '../../../src/errors.ts';
import { generationRequest } from '../../support/generation-request.ts';
import { byteTokenizer, RecordedRun, RUN_ID, textOf, tokenIdsOf } from '../../support/recorded-run.ts';

describe('GenerationRun', () => {
  it('sends the job', () => {
    const { sent } = new RecordedRun(
      { prompt: [1, 2], ignoreEos: true, logprobs: 2 },
      { maxDraftTokens: 3, adaptive: false },
    );
    expect(sent).toEqual([
      {
        type: 'request-add',
        id: RUN_ID,
        job: {
          kind: 'generate',
          promptTokenIds: [1, 2],
          openEnd: [],
          maxTokens: 40,
          sampling: generationRequest().sampling,
          ignoreEos: true,
          numTopLogprobs: 2,
          promptLogprobs: false,
          maxDraftTokens: 3,
          adaptive: false,
          cachePrompt: true,
          sharesPasses: true,
          tokensMayWait: true,
        },
      },
    ]);
  });

  it('lets no one share the passes of a request whose baseline is to be measured', () => {
    const { sent } = new RecordedRun({}, { measureBaseline: true });
    expect(sent).toMatchObject([{ job: { sharesPasses: false } }]);
  });

  it('wants tokens at once where it looks for stop strings in them', () => {
    const { sent } = new RecordedRun({ stop: ['\n'] });
    expect(sent).toMatchObject([{ job: { tokensMayWait: false } }]);
  });

  it('joins no more than 64 tokens to one event', async () => {
    const run = new RecordedRun({ prompt: 'let', maxTokens: 90 });
    run.prefill(' ');
    for (let round = 0; round < 8; round += 1) run.decide('0123456789', round === 7 ? 'length' : null);
    const tokens = (await run.events()).flatMap((event) => ('tokens' in event ? [event.tokens.length] : []));
    expect(tokens).toEqual([61, 20]);
  });

  it('passes on every round, then the report of all', async () => {
    const run = new RecordedRun({ prompt: 'let' });
    run.prefill(' ');
    run.decide('abc');
    run.decide('defgh', 'length');
    const events = await run.events();
    // As one event, since nobody took any of them before the last came.
    expect(events).toHaveLength(2);
    expect(events[0]).toMatchObject({ type: 'tokens-generated', text: ' abcdefgh' });
    expect(events[0]).toMatchObject({
      tokens: [
        { text: ' ', source: 'target' },
        { tokenId: 97, text: 'a', source: 'draft' },
        { tokenId: 98, text: 'b', source: 'draft' },
        { tokenId: 99, text: 'c', source: 'target' },
        { text: 'd' },
        { text: 'e' },
        { text: 'f' },
        { text: 'g' },
        { text: 'h' },
      ],
    });
    expect(events.at(-1)).toMatchObject({
      type: 'generation-finished',
      reason: 'length',
      report: {
        numPromptTokens: 3,
        numQueriedTokens: 3,
        numCachedTokens: 2,
        numCompletionTokens: 9,
        speculation: {
          numSpecTokens: 4,
          numSpecSteps: 2,
          numDraftTokens: 8,
          numAcceptedDraftTokens: 6,
          acceptanceHistogram: [0, 0, 1, 0, 1],
        },
        timings: {
          prefillSeconds: 0.5,
          decodeSeconds: 2,
          draftSeconds: 0.5,
          verifySeconds: 1,
          sampleSeconds: 0.25,
        },
        baseline: { method: 'calibrated', seconds: 8 },
      },
    });
    expect(run.rounds).toHaveLength(2);
    expect(run.rounds).toMatchObject([{ numSharing: 2 }, { numSharing: 2 }]);
    for (const { latencySeconds } of run.rounds) expect(latencySeconds).toBeGreaterThan(0);
    expect(run.outcomes).toEqual([
      { outcome: 'length', report: (events.at(-1) as { report: unknown }).report },
    ]);
    expect([run.numDone, run.sent.length]).toEqual([1, 1]);
  });

  it('reports no baseline where nothing was decoded after the first token', async () => {
    const run = new RecordedRun({}, { measureBaseline: true });
    run.prefill('a', 'stop');
    expect((await run.events()).at(-1)).toMatchObject({ reason: 'stop', report: { baseline: null } });
    expect(run.sent).toHaveLength(1);
  });

  it('drops what follows a stop string within a round, and stops the worker', async () => {
    const run = new RecordedRun({ stop: ['\n'] });
    run.prefill('a');
    run.decide('b\ncd');
    run.decide('late', 'length');
    const events = await run.events();
    expect(textOf(events)).toBe('ab');
    expect(tokenIdsOf(events)).toEqual(byteTokenizer.encode('ab\n'));
    expect(run.sent.slice(1)).toEqual([{ type: 'request-abort', id: RUN_ID }]);
    // Plain decoding would have stopped there, too: two of the four tokens count.
    expect(events.at(-1)).toMatchObject({
      reason: 'stop',
      report: {
        numCompletionTokens: 3,
        timings: { decodeSeconds: 1 },
        baseline: { method: 'calibrated', seconds: 2 },
      },
    });
    expect([run.outcomes.length, run.rounds.length, run.numDone]).toEqual([1, 1, 1]);
  });

  it('stops at a stop string that ends with the last token, without telling the worker that has ended', async () => {
    const run = new RecordedRun({ stop: ['cd'] });
    run.prefill('a');
    run.decide('bcd', 'length');
    const events = await run.events();
    expect(textOf(events)).toBe('ab');
    expect(events.at(-1)).toMatchObject({ reason: 'stop', report: { numCompletionTokens: 4 } });
    expect(run.sent).toHaveLength(1);
  });

  it('lets go at the end what might have begun a stop string or a character', async () => {
    const run = new RecordedRun({ stop: ['cde'] });
    run.prefill('a');
    run.decide('bcd', 'length');
    expect(textOf(await run.events())).toBe('abcd');
    const other = new RecordedRun();
    other.prefill('漢', 'length');
    expect(textOf(await other.events())).toBe('\ufffd');
  });

  it('has started once it left the queue', () => {
    const run = new RecordedRun();
    expect(run.run.isStarted).toBe(false);
    run.run.receive({ type: 'request-started', id: RUN_ID });
    expect(run.run.isStarted).toBe(true);
  });

  describe('abort', () => {
    it('ends the events, tells the worker and reports, once', async () => {
      const run = new RecordedRun();
      run.prefill('a');
      run.decide('bc');
      run.run.abort();
      run.run.abort();
      run.decide('late', 'length');
      expect(textOf(await run.events())).toBe('abc');
      expect(run.sent.slice(1)).toEqual([{ type: 'request-abort', id: RUN_ID }]);
      expect(run.outcomes).toMatchObject([
        { outcome: 'abort', report: { numCompletionTokens: 3, baseline: null } },
      ]);
      expect([run.rounds.length, run.numDone]).toEqual([1, 1]);
    });

    it('is what a reader does who leaves early', async () => {
      const run = new RecordedRun();
      run.prefill('a');
      for await (const event of run.run.events) {
        expect(event.type).toBe('tokens-generated');
        break;
      }
      expect(run.sent.slice(1)).toEqual([{ type: 'request-abort', id: RUN_ID }]);
      expect(run.outcomes).toMatchObject([{ outcome: 'abort' }]);
    });

    it('does nothing once the request has ended', async () => {
      const run = new RecordedRun();
      run.prefill('a', 'stop');
      run.run.abort();
      run.run.fail(new ForetokenError('engine_failed', 'the engine is closing'));
      expect((await run.events()).at(-1)?.type).toBe('generation-finished');
      expect([run.outcomes.length, run.numDone, run.sent.length]).toEqual([1, 1, 1]);
    });
  });

  it('throws what failed, after what it had, and reports it once', async () => {
    const run = new RecordedRun();
    run.prefill('a');
    run.run.receive({ type: 'request-failed', id: RUN_ID, message: 'out of memory' });
    run.run.receive({ type: 'request-failed', id: RUN_ID, message: 'again' });
    const events = run.run.events[Symbol.asyncIterator]();
    expect((await events.next()).value).toMatchObject({ text: 'a' });
    await expect(events.next()).rejects.toMatchObject({ code: 'internal_error', message: 'out of memory' });
    expect(run.outcomes).toMatchObject([{ outcome: 'error', report: { numCompletionTokens: 1 } }]);
    expect(run.numDone).toBe(1);
  });
});
