import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { openAiContract } from '../support/openai-contract.ts';
import { parsePrometheusText } from '../support/prometheus-text.ts';
import { ServerProcess } from '../support/server-process.ts';
import { SocketClient } from '../support/socket-client.ts';

interface Report {
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
  };
  readonly metrics: {
    readonly speculative_decoding: Readonly<Record<string, number | readonly number[]>>;
    readonly speedup: { readonly decode_seconds: number; readonly baseline_seconds: number } | null;
  };
  readonly timings: Readonly<Record<'cache_n' | 'prompt_n' | 'draft_n' | 'draft_n_accepted', number>>;
}

let server: ServerProcess;
let baseUrl: string;

beforeAll(async () => {
  server = new ServerProcess('src/main.ts', ['serve', '--port', '0', '--max-body-mib', '4']);
  baseUrl = await server.baseUrl();
});

afterAll(async () => {
  server.child.kill('SIGKILL');
  await server.exitCode;
});

async function complete(body: object | string | Uint8Array<ArrayBuffer>): Promise<Response> {
  return await fetch(`${baseUrl}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
  });
}

/** Sum over the samples of a counter, by name. */
async function counters(): Promise<(name: string) => number> {
  const families = parsePrometheusText(await (await fetch(`${baseUrl}/metrics`)).text());
  return (name) => {
    const family = families.get(name);
    if (family === undefined) throw new Error(`no metric ${name}`);
    return family.samples.reduce((sum, sample) => sum + sample.value, 0);
  };
}

describe('the server with the shipped model', () => {
  openAiContract(() => ({ baseUrl, prompt: 'import { useState, useEffect, ', stop: ['\n'] }));

  test('has counters that are the sums of the reports', async () => {
    const before = await counters();
    const reports: Report[] = [];
    for (const [seed, speculation] of (
      ['auto', 'off', { num_draft_tokens: 2, adaptive: false }] as const
    ).entries()) {
      const response = await complete({
        prompt: 'function f() {',
        max_tokens: 40,
        seed,
        speculation,
        ignore_eos: true,
      });
      expect(response.status).toBe(200);
      reports.push((await response.json()) as Report);
    }
    const after = await counters();
    const sumOf = (figure: (report: Report) => number): number =>
      reports.reduce((sum, report) => sum + figure(report), 0);
    const expectGrowth = (name: string, figure: (report: Report) => number): void =>
      expect(after(name) - before(name)).toBeCloseTo(sumOf(figure), 6);
    expectGrowth('vllm:prompt_tokens_total', (report) => report.usage.prompt_tokens);
    expectGrowth('vllm:generation_tokens_total', (report) => report.usage.completion_tokens);
    expectGrowth('vllm:request_success_total', () => 1);
    expectGrowth('vllm:spec_decode_num_draft_tokens_total', (report) => report.timings.draft_n);
    expectGrowth('vllm:spec_decode_num_accepted_tokens_total', (report) => report.timings.draft_n_accepted);
    expectGrowth(
      'vllm:spec_decode_num_drafts_total',
      (report) => report.metrics.speculative_decoding['num_spec_steps'] as number,
    );
    expectGrowth('foretoken_decode_seconds_total', (report) => report.metrics.speedup!.decode_seconds);
    expectGrowth('foretoken_baseline_seconds_total', (report) => report.metrics.speedup!.baseline_seconds);
  });

  test('says how much of a prompt it took over from earlier requests, and counts it', async () => {
    const before = await counters();
    const prompt =
      'export class PrefixCache<Key, Value> {\n  private readonly entries = new Map<Key, Value>();\n';
    const answers: (Report & { readonly choices: readonly { readonly text: string }[] })[] = [];
    for (const cache_prompt of [true, true, false]) {
      const response = await complete({
        prompt,
        max_tokens: 12,
        temperature: 0,
        ignore_eos: true,
        cache_prompt,
        // The prompt's end may otherwise be another token, which is computed anew.
        token_healing: false,
      });
      answers.push((await response.json()) as (typeof answers)[number]);
    }
    const [first, second, third] = answers;
    const numPromptTokens = first!.usage.prompt_tokens;
    const numCached = answers.map(({ usage }) => usage.prompt_tokens_details.cached_tokens);
    expect(numCached[0]).toBeLessThan(10);
    expect(numCached.slice(1)).toEqual([numPromptTokens - 1, 0]);
    expect(second!.timings).toMatchObject({ cache_n: numPromptTokens - 1, prompt_n: 1 });
    expect([second!.choices[0]!.text, third!.choices[0]!.text]).toEqual(
      Array(2).fill(first!.choices[0]!.text),
    );
    const after = await counters();
    const growth = (name: string): number => after(name) - before(name);
    expect(growth('vllm:prefix_cache_queries_total')).toBe(2 * numPromptTokens);
    expect(growth('vllm:prefix_cache_hits_total')).toBe(numCached[0]! + numPromptTokens - 1);
    // The worker reports it on its own.
    await expect.poll(async () => (await counters())('vllm:kv_cache_usage_perc')).toBe(0);
    expect(after('foretoken_prefix_cache_usage_perc')).toBeGreaterThan(0);
  });

  test('computes a prompt once for all of its choices', async () => {
    const prompt = Array.from({ length: 60 }, (_, index) => `const value${index} = read(${index});\n`).join(
      '',
    );
    const response = await complete({ prompt, n: 3, max_tokens: 8, token_healing: false, ignore_eos: true });
    const { usage, timings } = (await response.json()) as Report;
    const numComputed = timings.prompt_n;
    expect(numComputed + timings.cache_n).toBe(3 * usage.prompt_tokens);
    expect(numComputed).toBeGreaterThanOrEqual(usage.prompt_tokens);
    expect(numComputed).toBeLessThan(1.5 * usage.prompt_tokens);
    expect(usage.prompt_tokens_details.cached_tokens).toBe(0);
  });

  test('measures the speedup of a request that asks for it', async () => {
    const speculation = { num_draft_tokens: 3, measure_baseline: true };
    const response = await complete({
      prompt: 'class Cache {',
      max_tokens: 24,
      temperature: 0,
      ignore_eos: true,
      speculation,
    });
    expect(await response.json()).toMatchObject({
      metrics: { speedup: { method: 'measured', identical: true } },
    });
  });

  test('goes on with a word that the prompt begins, unless told not to', async () => {
    const prompt = 'function add(a: number, b: number) {\n  retu';
    const socket = new WebSocket(`${baseUrl.replace('http', 'ws')}/v1/responses`);
    const client = new SocketClient(socket);
    await once(socket, 'open');
    const texts = async (token_healing?: boolean): Promise<string[]> => {
      const asked = { temperature: 0, ...(token_healing === undefined ? {} : { token_healing }) };
      const response = await complete({ prompt, max_tokens: 8, ...asked });
      const { choices } = (await response.json()) as { choices: readonly { readonly text: string }[] };
      const events = await client.respond({ input: prompt, max_output_tokens: 8, ...asked });
      return [choices[0]!.text, events.at(-1)!.response!.output[0]!.content[0]!.text];
    };
    const healed = await texts();
    expect(healed).toEqual(Array(2).fill(healed[0]));
    expect(healed[0]).toMatch(/^rn /);
    const unhealed = await texts(false);
    expect(unhealed).toEqual(Array(2).fill(unhealed[0]));
    expect(unhealed[0]).not.toMatch(/^rn/);
    socket.terminate();
  });

  test('fills in the middle between prompt and suffix', async () => {
    const response = await complete({
      prompt: 'const a = ',
      suffix: ';\nconst b = 2;\n',
      max_tokens: 16,
      temperature: 0,
    });
    expect(response.status).toBe(200);
  });

  const invalidUtf8 = Uint8Array.of(...Buffer.from('{"prompt":"'), 0xc3, 0x28, ...Buffer.from('"}'));
  test.each<[string, object | string | Uint8Array<ArrayBuffer>, number, string | null, string]>([
    ['no JSON', '{"prompt": ', 400, null, 'invalid_request'],
    ['a wrong type', { prompt: 5 }, 400, 'prompt', 'invalid_request'],
    ['an unknown model', { prompt: 'x', model: 'gpt-4' }, 404, 'model', 'model_not_found'],
    ['a prompt beyond the context', { prompt: 'x '.repeat(9000) }, 400, 'prompt', 'context_length_exceeded'],
    ['no tokens', { prompt: 'x', max_tokens: 0 }, 400, 'max_tokens', 'invalid_request'],
    ['too many tokens', { prompt: 'x', max_tokens: 1e9 }, 400, 'max_tokens', 'context_length_exceeded'],
    ['five stops', { prompt: 'x', stop: ['a', 'b', 'c', 'd', 'e'] }, 400, 'stop', 'invalid_request'],
    ['NaN', '{"prompt": "x", "temperature": NaN}', 400, null, 'invalid_request'],
    ['10 MB', { prompt: 'x'.repeat(10_000_000) }, 413, null, 'body_too_large'],
    ['invalid UTF-8', invalidUtf8, 400, null, 'invalid_request'],
    ['unknown token ids', { prompt: [1, 1_000_000] }, 400, 'prompt[1]', 'invalid_request'],
    ['negative token ids', { prompt: [-1] }, 400, 'prompt[0]', 'invalid_request'],
  ])('refuses %s in words, and goes on', async (_, body, status, param, code) => {
    const response = await complete(body);
    expect(response.status).toBe(status);
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect(error).toMatchObject({ param, code, type: 'invalid_request_error' });
    expect(error['message']).not.toBe('');
    expect((await complete({ prompt: 'x', max_tokens: 1 })).status).toBe(200);
  });

  test('answers /health while a long prompt is prefilled', async () => {
    const long = complete({ prompt: 'const a = [1, 2];\n'.repeat(110), max_tokens: 1 });
    const done = long.then(() => 'done');
    let numAnswers = 0;
    while ((await Promise.race([done, fetch(`${baseUrl}/health`).then(({ status }) => status)])) === 200)
      numAnswers += 1;
    expect(((await (await long).json()) as Report).usage.prompt_tokens).toBeGreaterThan(1000);
    expect(numAnswers).toBeGreaterThan(2);
  });

  test('drains on SIGTERM: refuses new work, finishes what runs, exits with 0', async () => {
    const running = complete({ prompt: 'x', max_tokens: 400, ignore_eos: true });
    await expect.poll(async () => (await counters())('vllm:num_requests_running')).toBe(1);
    server.child.kill('SIGTERM');
    await expect.poll(async () => (await fetch(`${baseUrl}/ready`)).status).toBe(503);
    expect((await complete({ prompt: 'x' })).status).toBe(503);
    const report = (await (await running).json()) as Report;
    expect(report.usage.completion_tokens).toBe(400);
    expect(await server.exitCode).toBe(0);
  });
});

describe('a server with little KV memory and no prefix cache', () => {
  let small: ServerProcess;
  let smallUrl: string;

  beforeAll(async () => {
    const args = ['serve', '--port', '0', '--kv-cache-mib', '2', '--no-prefix-cache'];
    small = new ServerProcess('src/main.ts', args);
    smallUrl = await small.baseUrl();
  });

  afterAll(async () => {
    small.child.kill('SIGKILL');
    await small.exitCode;
  });

  const ask = async (body: object): Promise<{ status: number; body: unknown }> => {
    const response = await fetch(`${smallUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: await response.json() };
  };

  test('refuses a request that can never fit, with what it needs and what there is', async () => {
    expect(await ask({ prompt: 'let a = 1;', max_tokens: 200 })).toEqual({
      status: 400,
      body: {
        error: {
          message: expect.stringMatching(
            /^This request needs 3\.13 MiB of KV cache .* the server has 2 MiB, enough for 128 tokens\.$/,
          ),
          type: 'invalid_request_error',
          param: 'max_tokens',
          code: 'kv_cache_exceeded',
        },
      },
    });
  });

  test('computes every prompt anew', async () => {
    for (let count = 0; count < 2; count += 1) {
      expect(await ask({ prompt: 'let a = 1;', max_tokens: 2 })).toMatchObject({
        status: 200,
        body: { usage: { prompt_tokens_details: { cached_tokens: 0 } } },
      });
    }
  });
});
