/** What forwards of several tokens cost, relative to the plain step, from measurements that scatter. */
import { median, robustLine } from '../decoding/robust-statistics.ts';
import type { ExactWidths } from '../model/target-model.ts';

/** Beyond this width further tokens cost less, and odd widths no more than even ones. */
export const LAST_NARROW_WIDTH = 9;

/**
 * By width, 0 to the last of `widths`, from `ratios` [widths.length] of some. Cost grows about linearly with width, and
 * less from one width to the next than measurements scatter on a busy machine: hence no single one is believed. An odd
 * width costs nearly what the even one above it does (docs/log.md): hence a line through the even ones and one through the
 * odd ones, of the same slope, or one through all where there are not two of each; one more line through what lies beyond
 * LAST_NARROW_WIDTH. One token is the plain step itself, where it may be.
 */
export function verifyRatios(
  widths: readonly number[],
  ratios: readonly number[],
  { least }: Pick<ExactWidths, 'least'>,
): number[] {
  const all = widths.map((width, index) => ({ width, ratio: ratios[index]! }));
  const points = all.filter(({ width }) => width <= LAST_NARROW_WIDTH);
  const ofParity = [0, 1].map((parity) => points.filter(({ width }) => width % 2 === parity));
  const groups = ofParity.every((group) => group.length > 1) ? ofParity : [points, points];
  const slopes = groups.map((group) => lineThrough(group).slope);
  const slope = median(slopes);
  const intercepts = groups.map((group) => median(group.map(({ width, ratio }) => ratio - slope * width)));
  const narrow = (rows: number): number => intercepts[rows % 2]! + slope * rows;
  const beyond = all.filter(({ width }) => width >= LAST_NARROW_WIDTH);
  const wide = beyond.length > 1 ? lineThrough(beyond) : null;
  return Array.from({ length: Math.max(...widths) + 1 }, (_, width) => {
    if (width < 2 && least === 1) return 1;
    if (width <= LAST_NARROW_WIDTH || wide === null) return narrow(Math.max(2, width));
    return Math.max(narrow(LAST_NARROW_WIDTH), wide.intercept + wide.slope * width);
  });
}

const lineThrough = (points: readonly { readonly width: number; readonly ratio: number }[]) =>
  robustLine(
    points.map(({ width }) => width),
    points.map(({ ratio }) => ratio),
  );
