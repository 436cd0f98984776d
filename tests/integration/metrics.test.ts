import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Completion } from '../../src/server/schemas/completion.ts';
import { parsePrometheusText, type Family } from '../support/prometheus-text.ts';
import { testApp, type TestApp } from '../support/test-app.ts';

let server: TestApp;
let contentType: unknown;
let families: ReadonlyMap<string, Family>;
const answers: Completion[] = [];

beforeAll(async () => {
  server = await testApp();
  const bodies = [
    { max_tokens: 20 },
    { max_tokens: 3, ignore_eos: true },
    { max_tokens: 40, speculation: 'off' },
    { max_tokens: 40, speculation: { num_draft_tokens: 2 } },
    { max_tokens: 1 },
    { max_tokens: 2, cache_prompt: false },
  ];
  for (const [seed, body] of bodies.entries()) {
    const payload = { prompt: `prompt ${seed}`, seed, ...body };
    const response = await server.app.inject({ method: 'POST', url: '/v1/completions', payload });
    answers.push(response.json<Completion>());
  }
  const response = await server.app.inject('/metrics');
  contentType = response.headers['content-type'];
  families = parsePrometheusText(response.body);
});
afterAll(() => server.close());

function total(name: string, labels: Record<string, string> = {}): number {
  const family = families.get(name.replace(/_(sum|count)$/, '')) ?? families.get(name);
  const samples = (family?.samples ?? []).filter(
    (sample) =>
      sample.name === name &&
      Object.entries({ model_name: 'scripted', ...labels }).every(
        ([label, value]) => sample.labels[label] === value,
      ),
  );
  expect(samples.length, `${name} has samples`).toBeGreaterThan(0);
  return samples.reduce((sum, { value }) => sum + value, 0);
}

const spec = (answer: Completion) => answer.metrics!.speculative_decoding;
const speedup = (answer: Completion) => answer.metrics!.speedup;
const sumOf = (amount: (answer: Completion) => number): number =>
  answers.reduce((sum, answer) => sum + amount(answer), 0);

describe('GET /metrics', () => {
  test('is in the text format', () => {
    expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  });

  test('counts what the answers report', () => {
    expect(total('vllm:prompt_tokens_total')).toBe(sumOf((answer) => answer.usage!.prompt_tokens));
    expect(total('vllm:generation_tokens_total')).toBe(sumOf((answer) => answer.usage!.completion_tokens));
    expect(total('vllm:spec_decode_num_drafts_total')).toBe(sumOf((answer) => spec(answer).num_spec_steps));
    expect(total('vllm:spec_decode_num_draft_tokens_total')).toBe(
      sumOf((answer) => spec(answer).num_draft_tokens),
    );
    const numAccepted = sumOf((answer) => spec(answer).num_accepted_draft_tokens);
    expect(numAccepted).toBeGreaterThan(0);
    expect(total('vllm:spec_decode_num_accepted_tokens_total')).toBe(numAccepted);
    expect(total('vllm:spec_decode_num_accepted_tokens_per_pos_total')).toBe(numAccepted);
    expect(total('foretoken_decode_seconds_total')).toBeCloseTo(
      sumOf((answer) => speedup(answer)?.decode_seconds ?? 0),
    );
    expect(total('foretoken_baseline_seconds_total')).toBeCloseTo(
      sumOf((answer) => speedup(answer)?.baseline_seconds ?? 0),
    );
  });

  test('counts the prompts that were looked up in the prefix cache', () => {
    const lookedUp = answers.slice(0, -1);
    const numTokens = lookedUp.reduce((sum, answer) => sum + answer.usage!.prompt_tokens, 0);
    expect(total('vllm:prefix_cache_queries_total')).toBe(numTokens);
    expect(total('vllm:prefix_cache_hits_total')).toBe(0);
  });

  test('counts accepted drafts by position', () => {
    for (const position of [0, 1, 2]) {
      const expected = sumOf(({ metrics }) => {
        const { acceptance_rate_per_position, num_spec_steps } = metrics!.speculative_decoding;
        return (acceptance_rate_per_position[position] ?? 0) * num_spec_steps;
      });
      const name = 'vllm:spec_decode_num_accepted_tokens_per_pos_total';
      expect(total(name, { position: String(position) })).toBeCloseTo(expected);
    }
  });

  test('counts requests by how they ended', () => {
    const reasons = answers.map(({ choices }) => choices[0]!.finish_reason);
    for (const reason of ['stop', 'length'] as const) {
      const expected = reasons.filter((finished) => finished === reason).length;
      expect(total('vllm:request_success_total', { finished_reason: reason })).toBe(expected);
    }
    expect(total('vllm:e2e_request_latency_seconds_count')).toBe(answers.length);
    expect(total('vllm:request_time_per_output_token_seconds_count')).toBe(answers.length - 1);
  });

  test('counts every round in its histograms', () => {
    const numRounds = total('vllm:inter_token_latency_seconds_count');
    expect(total('foretoken_speculation_depth_count')).toBe(numRounds);
    expect(total('foretoken_sequences_per_pass_count')).toBe(numRounds);
    expect(total('foretoken_decode_step_seconds_count', { phase: 'verify' })).toBe(numRounds);
    const numDrafts = total('vllm:spec_decode_num_drafts_total');
    expect(total('foretoken_decode_step_seconds_count', { phase: 'draft' })).toBe(numDrafts);
    expect(total('foretoken_speculation_depth_sum')).toBe(total('vllm:spec_decode_num_draft_tokens_total'));
  });

  test.each([
    ['vllm:num_requests_running', 'gauge'],
    ['vllm:num_requests_waiting', 'gauge'],
    ['vllm:kv_cache_usage_perc', 'gauge'],
    ['foretoken_prefix_cache_usage_perc', 'gauge'],
    ['vllm:prefix_cache_queries_total', 'counter'],
    ['vllm:prefix_cache_hits_total', 'counter'],
    ['vllm:time_to_first_token_seconds', 'histogram'],
    ['vllm:request_queue_time_seconds', 'histogram'],
    ['vllm:request_prefill_time_seconds', 'histogram'],
    ['vllm:request_decode_time_seconds', 'histogram'],
    ['foretoken_event_loop_lag_seconds', 'histogram'],
    ['process_cpu_seconds_total', 'counter'],
  ])('has %s, a %s', (name, type) => {
    expect(families.get(name)).toMatchObject({ type });
    expect(families.get(name)!.samples.length).toBeGreaterThan(0);
  });
});
