import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ErrorBody } from '../../src/server/error-body.ts';
import { testApp, type TestApp } from '../support/test-app.ts';

let server: TestApp;
beforeAll(async () => {
  server = await testApp();
});
afterAll(() => server.close());
afterEach(async () => {
  const response = await server.app.inject({
    method: 'POST',
    url: '/v1/completions',
    payload: { prompt: 'still on' },
  });
  if (response.statusCode !== 200) throw new Error('the server must keep serving');
});

async function refusal(
  payload: string | Buffer | object,
  contentType = 'application/json',
): Promise<{ status: number } & ErrorBody['error']> {
  const headers = { 'content-type': contentType };
  const response = await server.app.inject({ method: 'POST', url: '/v1/completions', payload, headers });
  const { error } = response.json<ErrorBody>();
  return { status: response.statusCode, ...error };
}

const fields: [param: string, body: object, expectedMessage: RegExp][] = [
  ['prompt', { prompt: undefined }, /prompt: required/],
  ['prompt', { prompt: 5 }, /a string.*token ids.*got 5/],
  ['prompt', { prompt: null }, /got null/],
  ['prompt', { prompt: [] }, /non-empty array/],
  ['prompt[2]', { prompt: [1, 2, 'x'] }, /expected an integer.*got "x"/],
  ['prompt[1]', { prompt: [1, -2] }, /at least 0, got -2/],
  ['prompt[1]', { prompt: [1, 4_000_000] }, /from 0 to \d+, got 4000000/],
  ['prompt[1][0]', { prompt: [[1], [99_999]] }, /got 99999/],
  ['prompt', { prompt: Array(17).fill('x') }, /got an array of 17/],
  ['max_tokens', { max_tokens: 0 }, /at least 1, got 0/],
  ['max_tokens', { max_tokens: 1.5 }, /an integer.*got 1.5/],
  ['max_tokens', { max_tokens: '16' }, /an integer.*got "16"/],
  ['max_tokens', { max_tokens: 1e300 }, /context/],
  ['temperature', { temperature: 'hot' }, /a number from 0 to 2, got "hot"/],
  ['temperature', { temperature: -0.1 }, /got -0.1/],
  ['temperature', { temperature: 2.1 }, /got 2.1/],
  ['top_p', { top_p: 0 }, /above 0 and at most 1, got 0/],
  ['top_k', { top_k: 0.5 }, /an integer/],
  ['min_p', { min_p: 1.5 }, /from 0 to 1/],
  ['repetition_penalty', { repetition_penalty: 0 }, /above 0/],
  ['presence_penalty', { presence_penalty: 3 }, /from -2 to 2/],
  ['frequency_penalty', { frequency_penalty: -3 }, /from -2 to 2/],
  ['stop', { stop: ['a', 'b', 'c', 'd', 'e'] }, /at most 4.*got an array of 5/],
  ['stop', { stop: '' }, /non-empty string/],
  ['stop[1]', { stop: ['a', 7] }, /a non-empty string, got 7/],
  ['n', { n: 17 }, /from 1 to 16, got 17/],
  ['n', { n: 16, prompt: Array(16).fill('x') }, /at most 64 choices/],
  ['best_of', { best_of: 2 }, /not supported/],
  ['logprobs', { logprobs: 6 }, /from 0 to 5/],
  ['echo', { echo: 'yes' }, /true or false/],
  ['seed', { seed: 0.5 }, /an integer/],
  ['logit_bias', { logit_bias: { cat: 1 } }, /token ids.*got "cat"/],
  ['logit_bias', { logit_bias: { 99999: 1 } }, /got "99999"/],
  ['logit_bias[5]', { logit_bias: { 5: 101 } }, /from -100 to 100, got 101/],
  ['suffix', { suffix: 'after' }, /fill in the middle/],
  ['cache_prompt', { cache_prompt: 'yes' }, /true or false/],
  ['token_healing', { token_healing: 1 }, /true or false/],
  ['speculation', { speculation: 'maybe' }, /"auto", "off" or an object/],
  ['speculation.num_draft_tokens', { speculation: { num_draft_tokens: 5 } }, /from 1 to 4, got 5/],
  ['speculation.num_draft_tokens', { speculation: { num_draft_tokens: 0 } }, /at least 1, got 0/],
  ['speculation.depth', { speculation: { depth: 2 } }, /unknown/],
  ['stream_options', { stream_options: { include_usage: true } }, /only allowed with stream/],
  ['stream_options.usage', { stream: true, stream_options: { usage: true } }, /unknown/],
  ['grammar', { grammar: 'root ::= "a"' }, /unknown or unsupported field/],
];

describe('a refused completion', () => {
  test.each(fields)('names %s for %j', async (param, body, expectedMessage) => {
    const error = await refusal({ prompt: 'x', ...body });
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toMatch(expectedMessage);
    expect(error.param).toBe(param);
  });

  test.each([
    ['text that is not JSON', '{"prompt": "x",}', /expected JSON/],
    ['NaN', '{"prompt": "x", "temperature": NaN}', /expected JSON/],
    ['nothing', '', /got nothing/],
    ['an array', '[]', /expected an object, got an array of 0/],
    ['null', 'null', /expected an object, got null/],
    ['a poisoned prototype', '{"prompt": "x", "__proto__": {"n": 2}}', /JSON/],
    [
      'invalid UTF-8',
      Buffer.from([...Buffer.from('{"prompt":"'), 0xc3, 0x28, ...Buffer.from('"}')]),
      /UTF-8/,
    ],
  ])('has status 400 for %s', async (_name, body, expectedMessage) => {
    const error = await refusal(body);
    expect(error).toMatchObject({ status: 400, code: 'invalid_request', param: null });
    expect(error.message).toMatch(expectedMessage);
    expect(error.message).not.toContain('"x"');
  });

  test('has status 400 for another content type', async () => {
    expect(await refusal('prompt=x', 'application/x-www-form-urlencoded')).toMatchObject({
      status: 400,
      param: 'content-type',
    });
  });

  test('has status 413 for a body over the limit', async () => {
    const error = await refusal({ prompt: 'x'.repeat(10 * 1024 * 1024) });
    expect(error).toMatchObject({ status: 413, code: 'body_too_large', type: 'invalid_request_error' });
  });

  test('gives both numbers where the context is too short', async () => {
    const error = await refusal({ prompt: 'x'.repeat(1000), max_tokens: 100 });
    expect(error).toMatchObject({ status: 400, code: 'context_length_exceeded' });
    expect(error.message).toMatch(/1000.*100.*1024/);
  });

  test('has status 404 for another model', async () => {
    expect(await refusal({ prompt: 'x', model: 'gpt-4' })).toMatchObject({
      status: 404,
      code: 'model_not_found',
      param: 'model',
      message: 'model: expected "scripted", got "gpt-4"',
    });
  });
});

test.each([
  ['GET', '/v2/nothing', 404, 'route_not_found'],
  ['GET', '/v1/completions', 404, 'route_not_found'],
  ['GET', '/v1/responses', 404, 'route_not_found'],
  ['POST', '/v1/responses', 404, 'route_not_found'],
  ['GET', '/v1/models/other', 404, 'model_not_found'],
  ['POST', '/v1/chat/completions', 400, 'chat_template_missing'],
  ['GET', '/%E0%A4%A', 400, 'invalid_request'],
] as const)('%s %s is refused with %i %s', async (method, url, status, code) => {
  const payload = method === 'POST' ? { payload: { messages: [] } } : {};
  const response = await server.app.inject({ method, url, ...payload });
  expect(response.statusCode).toBe(status);
  expect(response.json<ErrorBody>().error).toMatchObject({ code, type: 'invalid_request_error' });
});
