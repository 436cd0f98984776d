import { describe, expect, it } from 'vitest';
import { metricsReport, usageReport } from '../../../src/metrics/generation-report.ts';
import { answerReport } from '../../../src/metrics/merged-report.ts';
import { generationReport } from '../../support/generation-report.ts';

describe('answerReport', () => {
  it('is the report of an only choice', () => {
    const report = generationReport({ rounds: [[3, 1]] });
    const answer = answerReport([report]);
    expect(answer.usage).toEqual(usageReport(report));
    expect(answer.metrics).toEqual(metricsReport(report));
  });

  it('counts a prompt once in usage however many choices it has, in timings as often as it was worked on', () => {
    const reports = [11, 11, 20, 20].map((numPromptTokens) => generationReport({ numPromptTokens }));
    const { usage, timings } = answerReport(reports, 2);
    expect(usage).toMatchObject({ prompt_tokens: 31, completion_tokens: 40, total_tokens: 71 });
    expect(timings).toMatchObject({ prompt_n: 62, prompt_ms: 2000, predicted_n: 40, predicted_ms: 8000 });
  });

  it('counts what choices took over from each other as computed once', () => {
    const choices = [0, 6, 10].map((numCachedTokens) =>
      generationReport({ numPromptTokens: 11, numCachedTokens }),
    );
    const cached = (reports: typeof choices, numChoices: number): number =>
      answerReport(reports, numChoices).usage.prompt_tokens_details.cached_tokens;
    expect(cached(choices, 3)).toBe(0);
    expect(cached(choices, 1)).toBe(16);
    expect(cached([choices[2]!, choices[2]!, ...choices.slice(1)], 2)).toBe(9 + 5);
    expect(answerReport(choices, 3).timings).toMatchObject({ cache_n: 16, prompt_n: 17 });
  });

  it('adds up counters, and derives rates from the sums', () => {
    const reports = [
      generationReport({
        rounds: [
          [3, 3],
          [3, 0],
        ],
      }),
      generationReport({ rounds: [[1, 1]], numSpecTokens: 1 }),
      generationReport({ rounds: [], numSpecTokens: 0 }),
    ];
    expect(answerReport(reports).metrics.speculative_decoding).toEqual({
      num_spec_steps: 3,
      num_draft_tokens: 7,
      num_accepted_draft_tokens: 4,
      draft_acceptance_rate: 4 / 7,
      mean_acceptance_length: 1 + 4 / 3,
      acceptance_histogram: [1, 1, 0, 1],
      acceptance_rate_per_position: [2 / 3, 1 / 3, 1 / 3],
      conditional_acceptance_rate_per_position: [2 / 3, 1, 1],
      num_spec_tokens: 3,
      prompt_lookup: { num_spec_steps: 0, num_draft_tokens: 0, num_accepted_draft_tokens: 0 },
      earlier_text: { num_spec_steps: 0, num_draft_tokens: 0, num_accepted_draft_tokens: 0 },
    });
  });

  it('has the speedup of all decoding together, a first token of each choice left out', () => {
    const slow = generationReport({
      timings: { decodeSeconds: 6 },
      baseline: { method: 'calibrated', seconds: 7 },
    });
    expect(answerReport([generationReport(), slow]).metrics.speedup).toEqual({
      factor: 12 / 8,
      method: 'calibrated',
      decode_seconds: 8,
      baseline_seconds: 12,
      tokens_per_second: 18 / 8,
      baseline_tokens_per_second: 18 / 12,
    });
  });

  it('has no speedup where the baseline of one choice that decoded is not known', () => {
    const unknown = generationReport({ baseline: null });
    expect(answerReport([generationReport(), unknown]).metrics.speedup).toBeNull();
  });

  it('leaves a choice of one token out of the speedup', () => {
    const single = generationReport({
      numCompletionTokens: 1,
      timings: { decodeSeconds: 0 },
      baseline: null,
    });
    expect(answerReport([generationReport(), single]).metrics.speedup).toMatchObject({
      factor: 2.5,
      tokens_per_second: 4.5,
    });
    expect(answerReport([single, single]).metrics.speedup).toBeNull();
  });

  it('was measured only where all was, and is identical only where all is', () => {
    const measured = (identical: boolean): ReturnType<typeof generationReport> =>
      generationReport({ baseline: { method: 'measured', seconds: 4, identical } });
    expect(answerReport([measured(true), measured(true)]).metrics.speedup).toMatchObject({
      method: 'measured',
      identical: true,
    });
    expect(answerReport([measured(true), measured(false)]).metrics.speedup?.identical).toBe(false);
    const mixed = answerReport([measured(true), generationReport()]).metrics.speedup;
    expect(mixed?.method).toBe('calibrated');
    expect(mixed).not.toHaveProperty('identical');
  });

  it('waited as long as the choice that waited longest', () => {
    const late = generationReport({ timings: { queueSeconds: 4, timeToFirstTokenSeconds: 5 } });
    expect(answerReport([late, generationReport()]).metrics.timings).toMatchObject({
      queue_seconds: 4,
      prefill_seconds: 1,
      time_to_first_token_seconds: 5,
    });
  });
});
