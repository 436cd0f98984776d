/** Adds up measurements: acceptance as AcceptanceSummary does, speedups as median, least and greatest. */
import { median } from '../../src/decoding/robust-statistics.ts';
import { summariseAcceptance, type AcceptanceSummary, type Sample } from './acceptance-summary.ts';
import { round } from './statistics.ts';

export interface Measurement extends Sample {
  readonly tokensPerSecond: number;
  readonly baselineTokensPerSecond: number;
  readonly offTokensPerSecond: number;
  readonly measuredSpeedup: number;
  readonly calibratedOverMeasured: number;
  readonly isIdentical: boolean;
}

export interface Summary extends AcceptanceSummary {
  /** Medians over the prompts. */
  readonly tokensPerSecond: number;
  readonly baselineTokensPerSecond: number;
  readonly offTokensPerSecond: number;
  readonly speedup: { readonly median: number; readonly min: number; readonly max: number };
  readonly speedupOverOff: { readonly median: number; readonly min: number; readonly max: number };
  readonly calibratedOverMeasured: number;
  /** Prompts whose text was the same with and without speculation. */
  readonly numIdentical: number;
}

function spread(values: readonly number[]): { median: number; min: number; max: number } {
  return { median: round(median(values)), min: round(Math.min(...values)), max: round(Math.max(...values)) };
}

export function summarise(measurements: readonly Measurement[]): Summary {
  const of = (figure: (measurement: Measurement) => number): number =>
    round(median(measurements.map(figure)));
  return {
    ...summariseAcceptance(measurements),
    tokensPerSecond: of((each) => each.tokensPerSecond),
    baselineTokensPerSecond: of((each) => each.baselineTokensPerSecond),
    offTokensPerSecond: of((each) => each.offTokensPerSecond),
    speedup: spread(measurements.map((each) => each.measuredSpeedup)),
    speedupOverOff: spread(measurements.map((each) => each.tokensPerSecond / each.offTokensPerSecond)),
    calibratedOverMeasured: of((each) => each.calibratedOverMeasured),
    numIdentical: measurements.filter((measurement) => measurement.isIdentical).length,
  };
}
