import { describe, expect, it } from 'vitest';
import {
  llamaTimings,
  metricsReport,
  speedupReport,
  usageReport,
} from '../../../src/metrics/generation-report.ts';
import { generationReport } from '../../support/generation-report.ts';

describe('speedupReport', () => {
  it('is the baseline by the time of decoding, over the tokens after the first', () => {
    expect(speedupReport(generationReport())).toEqual({
      factor: 2.5,
      method: 'calibrated',
      decode_seconds: 2,
      baseline_seconds: 5,
      tokens_per_second: 4.5,
      baseline_tokens_per_second: 1.8,
    });
  });

  it('is below 1 where speculation lost', () => {
    const report = generationReport({ baseline: { method: 'calibrated', seconds: 1 } });
    expect(speedupReport(report)?.factor).toBe(0.5);
  });

  it.each([true, false])('says of a replay whether it was identical: %s', (identical) => {
    const report = generationReport({ baseline: { method: 'measured', seconds: 4, identical } });
    expect(speedupReport(report)).toMatchObject({ factor: 2, method: 'measured', identical });
  });

  it.each([
    ['the baseline is not known', { baseline: null }],
    ['one token was generated', { numCompletionTokens: 1 }],
    ['none was', { numCompletionTokens: 0 }],
    ['decoding took no time', { timings: { decodeSeconds: 0 } }],
    ['the baseline took none', { baseline: { method: 'calibrated' as const, seconds: 0 } }],
  ])('is null where %s', (_, given) => {
    expect(speedupReport(generationReport(given))).toBeNull();
    expect(metricsReport(generationReport(given)).speedup).toBeNull();
  });

  it('is there from the second token on', () => {
    expect(speedupReport(generationReport({ numCompletionTokens: 2 }))?.tokens_per_second).toBe(0.5);
  });
});

it('usageReport counts prompt and completion', () => {
  expect(usageReport(generationReport({ numCompletionTokens: 4, numCachedTokens: 3 }))).toEqual({
    prompt_tokens: 10,
    completion_tokens: 4,
    total_tokens: 14,
    prompt_tokens_details: { cached_tokens: 3 },
  });
});

it('metricsReport has speculation, speedup and times', () => {
  const report = generationReport({
    rounds: [
      [3, 2],
      [1, 1],
    ],
  });
  expect(metricsReport(report)).toMatchObject({
    speculative_decoding: { num_spec_steps: 2, num_draft_tokens: 4, num_accepted_draft_tokens: 3 },
    speedup: { factor: 2.5 },
    timings: {
      queue_seconds: 0.25,
      prefill_seconds: 0.5,
      time_to_first_token_seconds: 0.75,
      draft_seconds: 0.375,
      verify_seconds: 1.5,
      sample_seconds: 0.125,
    },
  });
});

it('llamaTimings are in milliseconds', () => {
  expect(
    llamaTimings(
      generationReport({
        numCachedTokens: 4,
        rounds: [
          [3, 2],
          [1, 1],
        ],
      }),
    ),
  ).toEqual({
    cache_n: 4,
    prompt_n: 6,
    prompt_ms: 500,
    predicted_n: 10,
    predicted_ms: 2000,
    predicted_per_second: 4.5,
    draft_n: 4,
    draft_n_accepted: 3,
  });
  const { predicted_per_second: rate } = llamaTimings(
    generationReport({ numCompletionTokens: 1, timings: { decodeSeconds: 0 } }),
  );
  expect(rate).toBe(0);
});
