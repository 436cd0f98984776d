/** How much a text repeats itself: what is repeated is easy to guess. Knows token ids only. */

/** Share of different sequences of four tokens among all: 1 repeats nothing. */
export function distinct4(tokenIds: readonly number[]): number {
  const numAll = tokenIds.length - 3;
  if (numAll < 1) return 1;
  const different = new Set<string>();
  for (let start = 0; start < numAll; start += 1) different.add(tokenIds.slice(start, start + 4).join(','));
  return different.size / numAll;
}

/**
 * A text falls into a loop where it writes the same `period` tokens again and again: R tokens in a row, each the one
 * `period` places before it, R being at least this and at least `period`.
 *
 * 32 tokens are some three lines of code: rulers of dashes, closing brackets and pairs of similar lines, which
 * programmers do write, are shorter. At least `period` means that all of the period is written again, so that a text
 * which merely comes back to a phrase does not loop; up to period 16 it is there three times or more. The loop may
 * stand anywhere: a text that leaves it again was as easy to guess while it lasted. Lines that count up (`case 1:`,
 * `case 2:`) are no loop by this; distinct-4 shows them.
 */
export const MIN_REPEATED_TOKENS = 32;

/** The shortest period of a loop in the text, or null. */
export function loopPeriod(tokenIds: readonly number[]): number | null {
  for (let period = 1; period + Math.max(period, MIN_REPEATED_TOKENS) <= tokenIds.length; period += 1) {
    let numRepeated = 0;
    for (let position = period; position < tokenIds.length; position += 1) {
      numRepeated = tokenIds[position] === tokenIds[position - period] ? numRepeated + 1 : 0;
      if (numRepeated >= Math.max(period, MIN_REPEATED_TOKENS)) return period;
    }
  }
  return null;
}
