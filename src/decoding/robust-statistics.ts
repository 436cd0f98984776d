/** Averages of times on a machine that others use too. */

/** The middle value, or the mean of the middle two. Undefined for no values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * The mean, values above twice the median counted as that. Times of steps are skewed: their sum is what a request
 * pays, so a median would promise too little, while a plain mean of few would follow every interruption.
 */
export function clippedMean(values: readonly number[]): number {
  const limit = 2 * median(values);
  return values.reduce((sum, value) => sum + Math.min(value, limit), 0) / values.length;
}
