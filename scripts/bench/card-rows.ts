/** Results as the model card quotes them. */
import type { AcceptanceSummary } from './acceptance-summary.ts';
import type { WithLoops } from './loops.ts';
import { format, formatRates } from './statistics.ts';
import type { Summary } from './summary.ts';

export type CardRow = readonly [label: string, value: string];

export function acceptanceRows(name: string, summary: AcceptanceSummary): CardRow[] {
  return [
    [`${name}: acceptance rate`, format(summary.draftAcceptanceRate)],
    [`${name}: mean acceptance length`, format(summary.meanAcceptanceLength)],
    [
      `${name}: conditional acceptance by position`,
      formatRates(summary.conditionalAcceptanceRatePerPosition),
    ],
  ];
}

export function speedRows(name: string, summary: Summary): CardRow[] {
  const { median, min, max } = summary.speedup;
  return [
    ...acceptanceRows(name, summary),
    [
      `${name}: speedup over plain decoding, median (least to greatest)`,
      `${format(median)} (${format(min)} to ${format(max)})`,
    ],
  ];
}

/** `name` is that of the run. Without the prompts that loop only where some do and some do not. */
export function cardRows<Each extends AcceptanceSummary>(
  name: string,
  total: WithLoops<Each>,
  rows: (name: string, summary: Each) => CardRow[],
): CardRow[] {
  const { loops, withoutLoops } = total;
  return [
    ...rows(name, total),
    [`${name}: distinct-4`, format(total.distinct4)],
    [`${name}: prompts that loop`, `${loops.length} of ${total.numPrompts}`],
    ...(loops.length === 0 || withoutLoops === null ? [] : rows(`${name}, without them`, withoutLoops)),
  ];
}
