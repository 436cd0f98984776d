import { describe, expect, it } from 'vitest';
import { generationRequest } from '../../support/generation-request.ts';
import { byteTokenizer, RecordedRun, RUN_ID, textOf } from '../../support/recorded-run.ts';

/** A request that measures its baseline, its text `abcde` decided. */
function decodedRun(stop: readonly string[] = []): RecordedRun {
  const run = new RecordedRun({ prompt: [1, 2], stop }, { measureBaseline: true });
  run.prefill('a');
  run.decide('bc');
  run.decide('de', 'length');
  return run;
}

const replay = (run: RecordedRun, text: string): void =>
  run.run.receive({
    type: 'request-replayed',
    id: RUN_ID,
    tokenIds: byteTokenizer.encode(text),
    plainSeconds: 3,
  });

describe('GenerationRun that measures its baseline', () => {
  it('asks for a replay of the same tokens when the text is complete', () => {
    const run = decodedRun();
    expect(run.sent.slice(1)).toEqual([
      {
        type: 'request-add',
        id: RUN_ID,
        job: {
          kind: 'replay',
          promptTokenIds: [1, 2],
          openEnd: [],
          numTokens: 5,
          sampling: generationRequest().sampling,
        },
      },
    ]);
    expect([run.outcomes.length, run.numDone]).toEqual([0, 0]);
  });

  it('finishes with what the replay took', async () => {
    const run = decodedRun();
    run.run.receive({ type: 'request-started', id: RUN_ID });
    replay(run, 'abcde');
    const events = await run.events();
    expect(textOf(events)).toBe('abcde');
    expect(events.at(-1)).toMatchObject({
      type: 'generation-finished',
      reason: 'length',
      report: {
        numCompletionTokens: 5,
        timings: { decodeSeconds: 2 },
        baseline: { method: 'measured', seconds: 3, identical: true },
      },
    });
    expect(run.outcomes).toMatchObject([{ outcome: 'length' }]);
    expect(run.numDone).toBe(1);
  });

  it('says where the replay gave other tokens', async () => {
    const run = decodedRun();
    replay(run, 'abcdx');
    expect((await run.events()).at(-1)).toMatchObject({ report: { baseline: { identical: false } } });
  });

  it('replays up to the stop string, after the worker was stopped, and ignores rounds that come late', async () => {
    const run = new RecordedRun({ stop: ['c'] }, { measureBaseline: true });
    run.prefill('a');
    run.decide('bcx');
    run.decide('late', 'length');
    expect(run.sent.slice(1)).toMatchObject([
      { type: 'request-abort' },
      { type: 'request-add', job: { kind: 'replay', numTokens: 3 } },
    ]);
    replay(run, 'abc');
    const events = await run.events();
    expect(textOf(events)).toBe('ab');
    expect(events.at(-1)).toMatchObject({
      reason: 'stop',
      report: {
        numCompletionTokens: 3,
        speculation: { numSpecSteps: 1 },
        baseline: { seconds: 3, identical: true },
      },
    });
    expect(run.rounds).toHaveLength(1);
  });

  it('is aborted while the replay runs: the text stays, the report has no baseline', async () => {
    const run = decodedRun();
    run.run.abort();
    replay(run, 'abcde');
    const events = await run.events();
    expect(textOf(events)).toBe('abcde');
    expect(events.at(-1)?.type).toBe('tokens-generated');
    expect(run.sent.at(-1)).toEqual({ type: 'request-abort', id: RUN_ID });
    expect(run.outcomes).toMatchObject([{ outcome: 'abort', report: { baseline: null } }]);
    expect(run.numDone).toBe(1);
  });
});

describe('GenerationRun with echo', () => {
  it('gives the prompt before the first token', async () => {
    const run = new RecordedRun({ prompt: 'hé', echo: true });
    run.prefill('a', 'length');
    expect((await run.events())[0]).toEqual({
      type: 'prompt-evaluated',
      text: 'hé',
      tokens: [
        { tokenId: 0x68, text: 'h', source: 'target' },
        { tokenId: 0xc3, text: '\ufffd', source: 'target' },
        { tokenId: 0xa9, text: '\ufffd', source: 'target' },
      ],
    });
  });

  it('gives the text of token ids', async () => {
    const run = new RecordedRun({ prompt: byteTokenizer.encode('hé'), echo: true });
    run.prefill('a', 'length');
    expect((await run.events())[0]).toMatchObject({ type: 'prompt-evaluated', text: 'hé' });
  });

  it('gives log probabilities of all prompt tokens but the first, chunk by chunk', async () => {
    const run = new RecordedRun({ prompt: 'abcd', echo: true, logprobs: 1 });
    expect(run.sent).toMatchObject([{ job: { promptLogprobs: true, numTopLogprobs: 1 } }]);
    const scored = (text: string, logprob: number): object => ({
      tokenId: text.charCodeAt(0),
      isDraft: false,
      logprob,
      top: [{ tokenId: 0x7a, logprob: -0.5 }],
    });
    const score = (firstIndex: number, tokens: object[]): void =>
      run.run.receive({ type: 'prompt-scored', id: RUN_ID, firstIndex, tokens: tokens as never });
    score(1, [scored('b', -1), scored('c', -2)]);
    score(3, [scored('d', -3)]);
    run.prefill('e', 'length');
    const topLogprobs = [{ tokenId: 0x7a, text: 'z', logprob: -0.5 }];
    expect((await run.events())[0]).toEqual({
      type: 'prompt-evaluated',
      text: 'abcd',
      tokens: [
        { tokenId: 0x61, text: 'a', source: 'target', logprob: null },
        { tokenId: 0x62, text: 'b', source: 'target', logprob: -1, topLogprobs },
        { tokenId: 0x63, text: 'c', source: 'target', logprob: -2, topLogprobs },
        { tokenId: 0x64, text: 'd', source: 'target', logprob: -3, topLogprobs },
      ],
    });
  });
});
