/** Adds up what was drafted and accepted: rates from summed counters. Knows nothing of time. */
import { median } from '../../src/decoding/robust-statistics.ts';
import { mergedSpeculation } from '../../src/metrics/merged-report.ts';
import { specDecodeReport, type SpecDecodeCounters } from '../../src/metrics/spec-decode-stats.ts';
import type { Prompt } from './prompts.ts';
import { distinct4, loopPeriod } from './repetition.ts';
import type { Completed } from './run-request.ts';
import { format, formatRates, round } from './statistics.ts';

/** One prompt's continuation. */
export interface Sample {
  readonly kind: string;
  /** The prompt's name. */
  readonly prompt: string;
  readonly distinct4: number;
  /** Null if the continuation does not loop. */
  readonly loopPeriod: number | null;
  readonly speculation: SpecDecodeCounters;
}

export interface AcceptanceSummary {
  readonly numPrompts: number;
  readonly draftAcceptanceRate: number;
  readonly meanAcceptanceLength: number;
  readonly acceptanceRatePerPosition: readonly number[];
  /** Null at positions that no round drafted. */
  readonly conditionalAcceptanceRatePerPosition: readonly (number | null)[];
  /** Median over the prompts. */
  readonly distinct4: number;
}

export function sampleOf({ kind, name }: Prompt<unknown>, { tokenIds, report }: Completed): Sample {
  return {
    kind,
    prompt: name,
    distinct4: distinct4(tokenIds),
    loopPeriod: loopPeriod(tokenIds),
    speculation: report.speculation,
  };
}

export function summariseAcceptance(samples: readonly Sample[]): AcceptanceSummary {
  const counters = mergedSpeculation(samples.map(({ speculation }) => speculation));
  const report = specDecodeReport(counters);
  return {
    numPrompts: samples.length,
    draftAcceptanceRate: round(report.draft_acceptance_rate),
    meanAcceptanceLength: round(report.mean_acceptance_length),
    acceptanceRatePerPosition: report.acceptance_rate_per_position.map(round),
    conditionalAcceptanceRatePerPosition: report.conditional_acceptance_rate_per_position.map(
      (rate, position) => (counters.numReachedPerPosition[position] === 0 ? null : round(rate)),
    ),
    distinct4: round(median(samples.map((sample) => sample.distinct4))),
  };
}

export const formatAcceptance = (summary: AcceptanceSummary): string =>
  [
    `acceptance ${format(summary.draftAcceptanceRate)} length ${format(summary.meanAcceptanceLength)}`,
    `per position ${formatRates(summary.acceptanceRatePerPosition)}`,
    `conditional ${formatRates(summary.conditionalAcceptanceRatePerPosition)}`,
    `distinct-4 ${format(summary.distinct4)}`,
  ].join('  ');
