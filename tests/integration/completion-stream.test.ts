import { afterEach, describe, expect, test } from 'vitest';
import type { ErrorBody } from '../../src/server/error-body.ts';
import type { Completion } from '../../src/server/schemas/completion.ts';
import { sseEvents } from '../support/sse-events.ts';
import { testApp, type TestApp, type TestAppOptions } from '../support/test-app.ts';

let server: TestApp | undefined;
afterEach(() => server?.close());

async function stream(body: object, options: TestAppOptions = {}) {
  server = await testApp(options);
  const payload = { ...body, stream: true };
  return server.app.inject({ method: 'POST', url: '/v1/completions', payload });
}

async function chunksOf(body: object): Promise<Completion[]> {
  const response = await stream(body);
  expect(response).toMatchObject({ statusCode: 200 });
  const events = sseEvents(response.body);
  expect(events.pop()).toBe('[DONE]');
  return events;
}

const request = { prompt: 'stream', max_tokens: 12, seed: 5, ignore_eos: true };

describe('POST /v1/completions with stream', () => {
  test('has the headers that keep proxies from buffering', async () => {
    const { headers } = await stream(request);
    expect(headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    });
  });

  test('adds up to the answer without stream', async () => {
    const body = { ...request, n: 2, logprobs: 1, echo: true, return_token_sources: true };
    const chunks = await chunksOf(body);
    const { app } = server!;
    const whole = (
      await app.inject({ method: 'POST', url: '/v1/completions', payload: body })
    ).json<Completion>();
    for (const choice of whole.choices) {
      const parts = chunks.flatMap(({ choices }) => choices).filter(({ index }) => index === choice.index);
      expect(parts.map(({ text }) => text).join('')).toBe(choice.text);
      expect(parts.flatMap(({ logprobs }) => logprobs?.tokens ?? [])).toEqual(choice.logprobs!.tokens);
      expect(parts.flatMap(({ logprobs }) => logprobs?.text_offset ?? [])).toEqual(
        choice.logprobs!.text_offset,
      );
      expect(parts.flatMap(({ token_sources = [] }) => token_sources)).toEqual(choice.token_sources);
      expect(parts.map(({ finish_reason }) => finish_reason).filter((reason) => reason !== null)).toEqual([
        'length',
      ]);
    }
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks.at(-1)).toMatchObject({
      usage: whole.usage,
      metrics: whole.metrics,
      timings: whole.timings,
    });
  });

  test('reports on the last chunk, which has a choice unless usage was asked for', async () => {
    const chunks = await chunksOf(request);
    const last = chunks.at(-1)!;
    expect(last.choices).toHaveLength(1);
    expect(last.usage!.completion_tokens).toBe(12);
    expect(last.metrics!.speculative_decoding.num_spec_steps).toBeGreaterThan(0);
    expect(last.timings!.predicted_n).toBe(12);
    expect(
      chunks.slice(0, -1).every((chunk) => chunk.usage === undefined && chunk.metrics === undefined),
    ).toBe(true);
  });

  test('gives usage a chunk of its own where it was asked for', async () => {
    const chunks = await chunksOf({ ...request, stream_options: { include_usage: true } });
    const last = chunks.at(-1)!;
    expect(last.choices).toEqual([]);
    expect(last.usage!.completion_tokens).toBe(12);
    expect(last.metrics).toBeDefined();
    expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
  });

  test('answers what fails before the first token with a status', async () => {
    const response = await stream(request, { failingRound: 0 });
    expect(response.statusCode).toBe(500);
    const { error } = response.json<ErrorBody>();
    expect(error).toMatchObject({ code: 'internal_error', type: 'server_error', param: null });
    expect(error.message).not.toContain('scripted failure');
  });

  test('ends with an error event what fails later', async () => {
    const response = await stream(request, { failingRound: 2 });
    expect(response.statusCode).toBe(200);
    const events = sseEvents(response.body);
    expect(events.length).toBeGreaterThan(1);
    expect(events.at(-1)).toMatchObject({ error: { code: 'internal_error' } });
    expect(events).not.toContain('[DONE]');
    expect(response.body).not.toContain('scripted failure');
  });
});
