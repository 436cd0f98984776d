/** Averages of times on a machine that others use too. */

/** The middle value, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('expected at least one value');
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

/**
 * The line through points (xs[i], ys[i]) by the median of all pairs' slopes (Theil-Sen): a few wild points do not
 * move it. At least two different xs.
 */
export function robustLine(
  xs: readonly number[],
  ys: readonly number[],
): { readonly slope: number; readonly intercept: number } {
  const slopes: number[] = [];
  for (let first = 0; first < xs.length; first += 1) {
    for (let second = first + 1; second < xs.length; second += 1)
      slopes.push((ys[second]! - ys[first]!) / (xs[second]! - xs[first]!));
  }
  const slope = median(slopes);
  return { slope, intercept: median(xs.map((x, index) => ys[index]! - slope * x)) };
}
