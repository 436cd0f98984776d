/** The figures that benchmarks print. */

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Share of different sequences of four tokens among all: 1 repeats nothing. */
export function distinct4(tokenIds: readonly number[]): number {
  const numAll = tokenIds.length - 3;
  if (numAll < 1) return 1;
  const different = new Set<string>();
  for (let start = 0; start < numAll; start += 1) different.add(tokenIds.slice(start, start + 4).join(','));
  return different.size / numAll;
}

/** Rates of positions, '-' where nothing was drafted. */
export const formatRates = (rates: readonly (number | null)[]): string =>
  rates.map((rate) => rate?.toFixed(2) ?? '-').join(' ');
