/** The figures that benchmarks keep and print. */

/** To three digits: results files are read and compared by eye. */
export const round = (value: number): number => Math.round(value * 1000) / 1000;

export const format = (value: number, digits = 2): string => value.toFixed(digits);

/** Rates of positions, '-' where nothing was drafted. */
export const formatRates = (rates: readonly (number | null)[]): string =>
  rates.map((rate) => (rate === null ? '-' : format(rate))).join(' ');
