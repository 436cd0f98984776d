import { Value } from 'typebox/value';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { completionSchema, type Completion } from '../../src/server/schemas/completion.ts';
import { testApp, type TestApp } from '../support/test-app.ts';

let server: TestApp;
beforeAll(async () => {
  server = await testApp();
});
afterAll(() => server.close());

async function complete(body: object): Promise<Completion> {
  const response = await server.app.inject({ method: 'POST', url: '/v1/completions', payload: body });
  expect(response).toMatchObject({ statusCode: 200 });
  expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
  const completion = response.json<Completion>();
  expect([...Value.Errors(completionSchema, completion)]).toEqual([]);
  return completion;
}

describe('POST /v1/completions', () => {
  test('answers in the documented shape, with consistent numbers', async () => {
    const completion = await complete({
      model: 'scripted',
      prompt: 'function add(',
      max_tokens: 10,
      temperature: 0,
    });
    const { id, created, usage, metrics, timings, choices } = completion;
    expect(id).toMatch(/^cmpl-[0-9a-f]{32}$/);
    expect(Math.abs(created - Date.now() / 1000)).toBeLessThan(60);
    expect(usage).toEqual({
      prompt_tokens: 13,
      completion_tokens: 10,
      total_tokens: 23,
      prompt_tokens_details: { cached_tokens: 0 },
    });
    expect(choices).toEqual([
      { index: 0, text: expect.any(String), logprobs: null, finish_reason: 'length' },
    ]);
    const spec = metrics!.speculative_decoding;
    expect(spec.num_spec_steps).toBeGreaterThan(0);
    expect(spec.draft_acceptance_rate).toBeCloseTo(spec.num_accepted_draft_tokens / spec.num_draft_tokens);
    expect(metrics!.speedup!.factor).toBeCloseTo(
      metrics!.speedup!.baseline_seconds / metrics!.speedup!.decode_seconds,
    );
    expect(timings).toMatchObject({ prompt_n: 13, predicted_n: 10, draft_n: spec.num_draft_tokens });
  });

  test('takes 16 tokens by default, null for any optional field, and no model name', async () => {
    const { usage } = await complete({
      prompt: 'x',
      ignore_eos: true,
      max_tokens: null,
      temperature: null,
      top_p: null,
      n: null,
      stop: null,
      seed: null,
      stream: null,
      stream_options: null,
      logprobs: null,
      echo: null,
      suffix: null,
      logit_bias: null,
      best_of: null,
      speculation: null,
    });
    expect(usage!.completion_tokens).toBe(16);
  });

  test('gives the same text with speculation off, auto and at every depth', async () => {
    const settings = [
      'off',
      'auto',
      ...[1, 2, 3, 4].map((depth) => ({ num_draft_tokens: depth, adaptive: false })),
    ];
    const answers = await Promise.all(
      settings.map((speculation) => complete({ prompt: 'same', seed: 7, max_tokens: 100, speculation })),
    );
    expect(new Set(answers.map(({ choices }) => choices[0]!.text)).size).toBe(1);
    expect(answers[0]!.metrics!.speculative_decoding.num_draft_tokens).toBe(0);
    expect(answers.at(-1)!.metrics!.speculative_decoding.num_spec_tokens).toBe(4);
  });

  test('says whether the measured baseline was identical', async () => {
    const { metrics } = await complete({ prompt: 'x', speculation: { measure_baseline: true } });
    expect(metrics!.speedup).toMatchObject({ method: 'measured', identical: true });
  });

  test('gives choice i the seed plus i', async () => {
    const { choices } = await complete({ prompt: 'x', n: 3, seed: 41 });
    const third = await complete({ prompt: 'x', seed: 43 });
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(new Set(choices.map(({ text }) => text)).size).toBe(3);
    expect(choices[2]!.text).toBe(third.choices[0]!.text);
    const greedy = await complete({ prompt: 'x', n: 3, temperature: 0 });
    expect(new Set(greedy.choices.map(({ text }) => text)).size).toBe(1);
  });

  test('takes seeds modulo 2^32', async () => {
    const seeds = [-1, 2 ** 32 - 1, 2 ** 33 - 1];
    const answers = await Promise.all(seeds.map((seed) => complete({ prompt: 'x', seed })));
    expect(new Set(answers.map(({ choices }) => choices[0]!.text)).size).toBe(1);
  });

  test('orders the choices of several prompts by prompt and counts each prompt once', async () => {
    const { choices, usage, metrics, timings } = await complete({
      prompt: ['first', 'second!'],
      n: 2,
      seed: 1,
    });
    const alone = await complete({ prompt: 'second!', n: 2, seed: 1 });
    expect(choices.slice(2).map(({ text }) => text)).toEqual(alone.choices.map(({ text }) => text));
    expect(usage!.prompt_tokens).toBe('first'.length + 'second!'.length);
    const own = choices.map((choice) => choice.metrics!.speculative_decoding.num_draft_tokens);
    expect(metrics!.speculative_decoding.num_draft_tokens).toBe(
      own.reduce((total, count) => total + count, 0),
    );
    const predicted = choices.reduce((total, choice) => total + choice.timings!.predicted_n, 0);
    expect(usage!.completion_tokens).toBe(predicted);
    expect(timings!.predicted_n).toBe(predicted);
    const decodeSeconds = metrics!.speedup!.decode_seconds;
    expect(metrics!.speedup!.tokens_per_second).toBeCloseTo((predicted - choices.length) / decodeSeconds);
  });

  test('takes token ids, alone and in a list of prompts', async () => {
    const text = await complete({ prompt: 'abc', temperature: 0 });
    const ids = await complete({ prompt: [97, 98, 99], temperature: 0 });
    const list = await complete({ prompt: [[97, 98, 99]], temperature: 0 });
    expect(ids.choices).toEqual(text.choices);
    expect(list.choices).toEqual(text.choices);
  });

  test('ends before a stop string', async () => {
    const whole = (await complete({ prompt: 'stop', seed: 3, max_tokens: 100 })).choices[0]!.text;
    const stop = whole.slice(8, 12);
    const { choices } = await complete({ prompt: 'stop', seed: 3, max_tokens: 100, stop: [stop, 'never'] });
    expect(choices[0]!.text).not.toContain(stop);
    expect(whole.startsWith(choices[0]!.text)).toBe(true);
    expect(choices[0]!.finish_reason).toBe('stop');
  });

  test('marks which tokens were drafted', async () => {
    const { choices, metrics, usage } = await complete({
      prompt: 'x',
      ignore_eos: true,
      return_token_sources: true,
    });
    const sources = choices[0]!.token_sources!;
    expect(sources).toHaveLength(usage!.completion_tokens);
    expect(sources.map(({ text }) => text).join('')).toBe(choices[0]!.text);
    const numDrafts = sources.filter(({ source }) => source === 'draft').length;
    expect(numDrafts).toBeLessThanOrEqual(metrics!.speculative_decoding.num_accepted_draft_tokens);
    expect(numDrafts).toBeGreaterThan(0);
  });

  test('echoes the prompt and gives log probabilities with their places in the text', async () => {
    const { choices } = await complete({ prompt: 'echo', echo: true, logprobs: 2, max_tokens: 5 });
    const { text, logprobs } = choices[0]!;
    expect(text.startsWith('echo')).toBe(true);
    expect(logprobs!.tokens.join('')).toBe(text);
    for (const [index, offset] of logprobs!.text_offset.entries()) {
      expect(text.slice(offset).startsWith(logprobs!.tokens[index]!)).toBe(true);
    }
    expect(logprobs!.token_logprobs).toHaveLength(4 + 5);
    expect(Object.keys(logprobs!.top_logprobs.at(-1)!)).toContain(logprobs!.tokens.at(-1));
  });

  test('gives the log probability of the token alone for logprobs 0', async () => {
    const { choices } = await complete({ prompt: 'x', logprobs: 0, max_tokens: 3 });
    const { tokens, top_logprobs } = choices[0]!.logprobs!;
    expect(top_logprobs.map((top) => Object.keys(top!))).toEqual(tokens.map((token) => [token]));
  });
});
