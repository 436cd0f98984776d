import { GREEDY, type SamplingParams } from '../../src/decoding/sampling-params.ts';

/** Greedy, nothing else set, except what is given. */
export function samplingParams(given: Partial<SamplingParams> = {}): SamplingParams {
  return { ...GREEDY, ...given };
}

/** Pearson's statistic of counts against probabilities, and its degrees of freedom; cells under 5 expected are pooled. */
export function chiSquare(
  counts: readonly number[],
  probabilities: readonly number[],
): { readonly statistic: number; readonly degreesOfFreedom: number } {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let statistic = 0;
  let numCells = 0;
  const pooled = { observed: 0, expected: 0 };
  for (const [index, probability] of probabilities.entries()) {
    const expected = probability * total;
    const observed = counts[index]!;
    if (expected < 5) {
      pooled.observed += observed;
      pooled.expected += expected;
      continue;
    }
    statistic += (observed - expected) ** 2 / expected;
    numCells += 1;
  }
  if (pooled.expected > 0.5) {
    statistic += (pooled.observed - pooled.expected) ** 2 / pooled.expected;
    numCells += 1;
  } else if (pooled.observed > 5) {
    statistic = Infinity;
  }
  return { statistic, degreesOfFreedom: numCells - 1 };
}

/** The value that chi-square exceeds once in 100,000 (Wilson and Hilferty's approximation). */
export function chiSquareLimit(degreesOfFreedom: number): number {
  const z = 4.265;
  const spread = 2 / (9 * degreesOfFreedom);
  return degreesOfFreedom * (1 - spread + z * Math.sqrt(spread)) ** 3;
}

export function softmax(logits: ArrayLike<number>, temperature: number): number[] {
  const scaled = Array.from(logits, (logit) => logit / temperature);
  const max = Math.max(...scaled);
  const weights = scaled.map((logit) => Math.exp(logit - max));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Index of the greatest value; the lowest on a tie. */
export function argmax(values: Float32Array): number {
  let best = 0;
  let bestValue = values[0]!;
  for (let index = 1; index < values.length; index += 1) {
    const value = values[index]!;
    if (value > bestValue) {
      bestValue = value;
      best = index;
    }
  }
  return best;
}
