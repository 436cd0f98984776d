/** Adds up measurements: rates from summed counters, speedups as median, least and greatest. */
import { specDecodeReport, type SpecDecodeCounters } from '../../src/metrics/spec-decode-stats.ts';
import { mergedSpeculation } from '../../src/metrics/merged-report.ts';
import { median } from '../../src/decoding/robust-statistics.ts';

export interface Measurement {
  readonly kind: string;
  readonly temperature: number;
  readonly tokensPerSecond: number;
  readonly baselineTokensPerSecond: number;
  readonly offTokensPerSecond: number;
  readonly measuredSpeedup: number;
  readonly calibratedOverMeasured: number;
  readonly isIdentical: boolean;
  readonly distinct4: number;
  readonly speculation: SpecDecodeCounters;
}

export interface Summary {
  readonly numPrompts: number;
  /** Medians over the prompts. */
  readonly tokensPerSecond: number;
  readonly baselineTokensPerSecond: number;
  readonly offTokensPerSecond: number;
  readonly speedup: { readonly median: number; readonly min: number; readonly max: number };
  readonly speedupOverOff: { readonly median: number; readonly min: number; readonly max: number };
  readonly calibratedOverMeasured: number;
  readonly draftAcceptanceRate: number;
  readonly meanAcceptanceLength: number;
  readonly acceptanceRatePerPosition: readonly number[];
  /** Null at positions that no round drafted. */
  readonly conditionalAcceptanceRatePerPosition: readonly (number | null)[];
  readonly distinct4: number;
  /** Prompts whose text was the same with and without speculation. */
  readonly numIdentical: number;
}

const round = (value: number): number => Math.round(value * 1000) / 1000;

function spread(values: readonly number[]): { median: number; min: number; max: number } {
  return { median: round(median(values)), min: round(Math.min(...values)), max: round(Math.max(...values)) };
}

export function summarise(measurements: readonly Measurement[]): Summary {
  const of = (figure: (measurement: Measurement) => number): number =>
    round(median(measurements.map(figure)));
  const counters = mergedSpeculation(measurements.map((measurement) => measurement.speculation));
  const report = specDecodeReport(counters);
  return {
    numPrompts: measurements.length,
    tokensPerSecond: of((each) => each.tokensPerSecond),
    baselineTokensPerSecond: of((each) => each.baselineTokensPerSecond),
    offTokensPerSecond: of((each) => each.offTokensPerSecond),
    speedup: spread(measurements.map((each) => each.measuredSpeedup)),
    speedupOverOff: spread(measurements.map((each) => each.tokensPerSecond / each.offTokensPerSecond)),
    calibratedOverMeasured: of((each) => each.calibratedOverMeasured),
    draftAcceptanceRate: round(report.draft_acceptance_rate),
    meanAcceptanceLength: round(report.mean_acceptance_length),
    acceptanceRatePerPosition: report.acceptance_rate_per_position.map(round),
    conditionalAcceptanceRatePerPosition: report.conditional_acceptance_rate_per_position.map(
      (rate, position) => (counters.numReachedPerPosition[position] === 0 ? null : round(rate)),
    ),
    distinct4: of((each) => each.distinct4),
    numIdentical: measurements.filter((measurement) => measurement.isIdentical).length,
  };
}
