import type { Sample } from '../../scripts/bench/acceptance-summary.ts';
import type { Measurement } from '../../scripts/bench/summary.ts';
import { SpecDecodeStats } from '../../src/metrics/spec-decode-stats.ts';

export interface GivenSample extends Partial<Omit<Sample, 'speculation'>> {
  /** Drafts and accepted drafts of each round. */
  readonly rounds?: readonly (readonly [numDraftTokens: number, numAccepted: number])[];
}

/** One round that accepts one of two drafts, no loop, except what is given. */
export function benchSample({ rounds = [[2, 1]], ...rest }: GivenSample = {}): Sample {
  const stats = new SpecDecodeStats(2);
  for (const [numDraftTokens, numAccepted] of rounds) stats.addRound(numDraftTokens, numAccepted);
  return {
    kind: 'tests',
    prompt: 'tests 1',
    distinct4: 0.9,
    loopPeriod: null,
    speculation: stats.counters(),
    ...rest,
  };
}

export function benchMeasurement(measuredSpeedup: number, given: GivenSample = {}): Measurement {
  return {
    ...benchSample(given),
    tokensPerSecond: 100 * measuredSpeedup,
    baselineTokensPerSecond: 100,
    offTokensPerSecond: 50,
    measuredSpeedup,
    speedupOverOff: 2 * measuredSpeedup,
    calibratedOverMeasured: 1,
    isIdentical: true,
  };
}
