/** Adds up measurements: acceptance as AcceptanceSummary does, speedups as median, least and greatest. */
import { median } from '../../src/decoding/robust-statistics.ts';
import { summariseAcceptance, type AcceptanceSummary, type Sample } from './acceptance-summary.ts';
import { round } from './statistics.ts';

export interface Measurement extends Sample {
  readonly tokensPerSecond: number;
  readonly baselineTokensPerSecond: number;
  readonly offTokensPerSecond: number;
  readonly measuredSpeedup: number;
  readonly speedupOverOff: number;
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

/** Medians of what was timed, over measurements of the same prompt; identical if all were. */
export function medianMeasurement(repeats: readonly Measurement[]): Measurement {
  const of = (figure: (measurement: Measurement) => number): number => median(repeats.map(figure));
  return {
    ...repeats.at(-1)!,
    tokensPerSecond: of((each) => each.tokensPerSecond),
    baselineTokensPerSecond: of((each) => each.baselineTokensPerSecond),
    offTokensPerSecond: of((each) => each.offTokensPerSecond),
    measuredSpeedup: of((each) => each.measuredSpeedup),
    speedupOverOff: of((each) => each.speedupOverOff),
    calibratedOverMeasured: of((each) => each.calibratedOverMeasured),
    isIdentical: repeats.every((each) => each.isIdentical),
  };
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
    speedupOverOff: spread(measurements.map((each) => each.speedupOverOff)),
    calibratedOverMeasured: of((each) => each.calibratedOverMeasured),
    numIdentical: measurements.filter((measurement) => measurement.isIdentical).length,
  };
}
