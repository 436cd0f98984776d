/** What forwards of several tokens cost, relative to the plain step, from measurements that scatter. */
import { median, robustLine } from '../decoding/robust-statistics.ts';
import type { ExactWidths } from '../model/target-model.ts';

/**
 * By width, 0 to the last of `widths`, from `ratios` [widths.length] of some. Cost grows about linearly with width, and
 * less from one width to the next than measurements scatter on a busy machine: hence no single one is believed. An odd
 * width costs nearly what the even one above it does (docs/log.md): hence a line through the even ones and one through the
 * odd ones, of the same slope, or one through all where there are not two of each. One token is the plain step itself,
 * where it may be.
 */
export function verifyRatios(
  widths: readonly number[],
  ratios: readonly number[],
  { least }: Pick<ExactWidths, 'least'>,
): number[] {
  const points = widths.map((width, index) => ({ width, ratio: ratios[index]! }));
  const ofParity = [0, 1].map((parity) => points.filter(({ width }) => width % 2 === parity));
  const groups = ofParity.every((group) => group.length > 1) ? ofParity : [points, points];
  const slopes = groups.map(
    (group) =>
      robustLine(
        group.map(({ width }) => width),
        group.map(({ ratio }) => ratio),
      ).slope,
  );
  const slope = median(slopes);
  const intercepts = groups.map((group) => median(group.map(({ width, ratio }) => ratio - slope * width)));
  return Array.from({ length: Math.max(...widths) + 1 }, (_, width) => {
    if (width < 2 && least === 1) return 1;
    const rows = Math.max(2, width);
    return intercepts[rows % 2]! + slope * rows;
  });
}
