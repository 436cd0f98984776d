import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SpecDecodeStats, specDecodeReport } from '../../../src/metrics/spec-decode-stats.ts';

function statsOf(numSpecTokens: number, rounds: readonly (readonly [number, number])[]): SpecDecodeStats {
  const stats = new SpecDecodeStats(numSpecTokens);
  for (const [numDraftTokens, numAccepted] of rounds) stats.addRound(numDraftTokens, numAccepted);
  return stats;
}

const rounds = [
  [3, 3],
  [3, 1],
  [2, 2],
  [3, 0],
  [0, 0],
  [1, 0],
] as const;

describe('SpecDecodeStats', () => {
  it('counts rounds as one would by hand', () => {
    expect(statsOf(4, rounds).counters()).toEqual({
      numSpecTokens: 4,
      numSpecSteps: 5,
      numDraftTokens: 12,
      numAcceptedDraftTokens: 6,
      acceptanceHistogram: [2, 1, 1, 1, 0],
      numReachedPerPosition: [5, 3, 1, 0],
      numAcceptedPerPosition: [3, 2, 1, 0],
      promptLookup: { numSpecSteps: 0, numDraftTokens: 0, numAcceptedDraftTokens: 0 },
      earlierText: { numSpecSteps: 0, numDraftTokens: 0, numAcceptedDraftTokens: 0 },
    });
  });

  it('marks apart what was looked up', () => {
    const stats = statsOf(4, rounds);
    stats.addRound(4, 3, 'prompt_lookup');
    stats.addRound(2, 0, 'prompt_lookup');
    stats.addRound(4, 4, 'earlier_text');
    expect(specDecodeReport(stats)).toMatchObject({
      num_spec_steps: 8,
      num_draft_tokens: 22,
      num_accepted_draft_tokens: 13,
      prompt_lookup: { num_spec_steps: 2, num_draft_tokens: 6, num_accepted_draft_tokens: 3 },
      earlier_text: { num_spec_steps: 1, num_draft_tokens: 4, num_accepted_draft_tokens: 4 },
    });
  });

  it('derives every rate from the counters', () => {
    expect(specDecodeReport(statsOf(4, rounds))).toEqual({
      num_spec_steps: 5,
      num_draft_tokens: 12,
      num_accepted_draft_tokens: 6,
      draft_acceptance_rate: 0.5,
      mean_acceptance_length: 2.2,
      acceptance_histogram: [2, 1, 1, 1, 0],
      acceptance_rate_per_position: [0.6, 0.4, 0.2, 0],
      conditional_acceptance_rate_per_position: [0.6, 2 / 3, 1, 0],
      num_spec_tokens: 4,
      prompt_lookup: { num_spec_steps: 0, num_draft_tokens: 0, num_accepted_draft_tokens: 0 },
      earlier_text: { num_spec_steps: 0, num_draft_tokens: 0, num_accepted_draft_tokens: 0 },
    });
  });

  it('has rates of 0 where nothing was drafted', () => {
    const plain = statsOf(2, [
      [0, 0],
      [0, 0],
    ]);
    expect(specDecodeReport(plain)).toEqual({
      num_spec_steps: 0,
      num_draft_tokens: 0,
      num_accepted_draft_tokens: 0,
      draft_acceptance_rate: 0,
      mean_acceptance_length: 1,
      acceptance_histogram: [0, 0, 0],
      acceptance_rate_per_position: [0, 0],
      conditional_acceptance_rate_per_position: [0, 0],
      num_spec_tokens: 2,
      prompt_lookup: { num_spec_steps: 0, num_draft_tokens: 0, num_accepted_draft_tokens: 0 },
      earlier_text: { num_spec_steps: 0, num_draft_tokens: 0, num_accepted_draft_tokens: 0 },
    });
  });

  it('reports a request that never drafts with empty lists of positions', () => {
    const report = specDecodeReport(statsOf(0, [[0, 0]]));
    expect(report.acceptance_histogram).toEqual([0]);
    expect(report.acceptance_rate_per_position).toEqual([]);
  });

  it('gives counters that later rounds leave as they are', () => {
    const stats = statsOf(3, [[3, 1]]);
    const before = stats.counters();
    stats.addRound(3, 2);
    expect(before).toEqual(statsOf(3, [[3, 1]]).counters());
  });

  it('has counters that agree with each other, whatever the rounds', () => {
    const round = fc
      .nat(5)
      .chain((numDraftTokens) => fc.tuple(fc.constant(numDraftTokens), fc.nat(numDraftTokens)));
    const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
    fc.assert(
      fc.property(fc.array(round), (given) => {
        const counters = statsOf(5, given).counters();
        const { acceptanceHistogram, numReachedPerPosition, numAcceptedPerPosition } = counters;
        expect(sum(acceptanceHistogram)).toBe(counters.numSpecSteps);
        expect(sum(acceptanceHistogram.map((count, accepted) => count * accepted))).toBe(
          counters.numAcceptedDraftTokens,
        );
        expect(sum(numAcceptedPerPosition)).toBe(counters.numAcceptedDraftTokens);
        expect(numReachedPerPosition[0]).toBe(counters.numSpecSteps);
        for (const [position, accepted] of numAcceptedPerPosition.entries()) {
          expect(accepted).toBeLessThanOrEqual(numReachedPerPosition[position]!);
          expect(numReachedPerPosition[position + 1] ?? 0).toBeLessThanOrEqual(accepted);
        }
        expect(sum(given.map(([numDraftTokens]) => numDraftTokens))).toBe(counters.numDraftTokens);
      }),
    );
  });
});
