/** The figures that benchmarks keep and print. */

/** To three digits: results files are read and compared by eye. */
export const round = (value: number): number => Math.round(value * 1000) / 1000;

export const format = (value: number, digits = 2): string => value.toFixed(digits);

/** Later positions are those of few rounds. */
const NUM_LISTED_POSITIONS = 8;

/** Rates of the first positions, '-' where nothing was drafted. */
export const formatRates = (rates: readonly (number | null)[]): string =>
  rates
    .slice(0, NUM_LISTED_POSITIONS)
    .map((rate) => (rate === null ? '-' : format(rate)))
    .join(' ');

/** The value that so many per cent of all are not above. */
export function percentile(values: readonly number[], percent: number): number {
  if (values.length === 0) throw new RangeError('expected at least one value');
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)]!;
}
