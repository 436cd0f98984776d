import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ErrorBody } from '../../src/server/error-body.ts';
import {
  brokenJson,
  expectSound,
  fuzzApp,
  jsonValues,
  maxBodyBytes,
  mutated,
  runs,
  type FuzzApp,
} from '../support/fuzz.ts';
import { sseEvents } from '../support/sse-events.ts';

let server: FuzzApp;
beforeAll(async () => {
  server = await fuzzApp();
});
afterAll(() => server.close());

const valid = {
  model: 'scripted',
  prompt: 'let x',
  max_tokens: 3,
  temperature: 0.8,
  top_p: 0.9,
  top_k: 40,
  min_p: 0.1,
  n: 1,
  best_of: 1,
  echo: false,
  logprobs: 1,
  stop: ['\n'],
  seed: 1,
  stream: false,
  stream_options: null,
  presence_penalty: 0.1,
  frequency_penalty: 0.1,
  repetition_penalty: 1.1,
  logit_bias: { 5: 1 },
  ignore_eos: true,
  suffix: null,
  user: 'me',
  cache_prompt: true,
  return_token_sources: true,
  speculation: { num_draft_tokens: 2, adaptive: true, measure_baseline: false },
};

const bodies: fc.Arbitrary<string | Buffer> = fc.oneof(
  { weight: 6, arbitrary: mutated(valid).map((body) => JSON.stringify(body)) },
  { weight: 2, arbitrary: jsonValues.map((body) => JSON.stringify(body)) },
  { weight: 2, arbitrary: brokenJson },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)) },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: maxBodyBytes - 20, max: maxBodyBytes + 20 })
      .map((length) => JSON.stringify({ prompt: 'x'.repeat(length - 13) })),
  },
);

const routes = fc.constantFrom(
  '/v1/completions',
  '/v1/completions',
  '/v1/completions',
  '/v1/chat/completions',
);
const contentTypes = fc.constantFrom(
  'application/json',
  'application/json',
  'application/json; charset=latin1',
);

type Answer = Awaited<ReturnType<typeof server.app.inject>>;

/** Null for what a client can make sense of. */
function fault({ statusCode, headers, body }: Answer): unknown {
  const isRefusal = [400, 404, 413, 429].includes(statusCode);
  if (statusCode !== 200 && !isRefusal) return { statusCode, body };
  if (String(headers['content-type']).startsWith('text/event-stream'))
    return sseEvents(body).at(-1) === '[DONE]' ? null : body;
  const answer = JSON.parse(body) as Partial<ErrorBody> & { readonly object?: string };
  const isWhole = isRefusal
    ? answer.error?.message !== '' && answer.error?.code !== 'internal_error'
    : answer.object === 'text_completion';
  return isWhole ? null : answer;
}

test('no body makes the server fail, and what it refuses it refuses in words', async () => {
  await fc.assert(
    fc.asyncProperty(routes, contentTypes, bodies, async (url, contentType, payload) => {
      const answer = await server.app.inject({
        method: 'POST',
        url,
        headers: { 'content-type': contentType },
        payload,
      });
      expect(fault(answer)).toBeNull();
      await expectSound(server);
    }),
    runs(0.5),
  );
});
