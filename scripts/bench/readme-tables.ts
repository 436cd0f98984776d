/** Benchmark results as the README's tables. */
import type { AcceptanceSummary } from './acceptance-summary.ts';
import { formatLoops, type SummariesByKind, type WithLoops } from './loops.ts';
import { table, tableRow } from './markdown-table.ts';
import type { AcceptanceRecord, BenchRecord } from './records.ts';
import { format, formatRates } from './statistics.ts';
import type { Summary } from './summary.ts';

const rowsByKind = <Each>(
  { total, byKind }: SummariesByKind<Each>,
  cells: (summary: Each) => readonly string[],
): string[][] =>
  [...Object.entries(byKind), ['**all**', total] as const].map(([name, summary]) => [
    name,
    ...cells(summary),
  ]);

/** The last row, where some prompts loop and some do not. */
const rowsWithoutLoops = <Each>(
  { loops, withoutLoops }: WithLoops<Each>,
  cells: (summary: Each) => readonly string[],
): string[][] =>
  loops.length === 0 || withoutLoops === null ? [] : [['**all but loops**', ...cells(withoutLoops)]];

const loopSentence = ({ loops, numPrompts }: WithLoops<AcceptanceSummary>): string =>
  `${loops.length} of ${numPrompts} prompts loop${loops.length === 0 ? '' : `: ${formatLoops(loops)}`}.`;

const spread = ({ median, min, max }: Summary['speedup']): string =>
  `${format(median)} (${format(min)}-${format(max)})`;

const ACCEPTANCE_COLUMNS = [
  'acceptance rate',
  'mean acceptance length',
  'conditional acceptance by position',
];

const acceptanceCells = (summary: AcceptanceSummary): string[] => [
  format(summary.draftAcceptanceRate),
  format(summary.meanAcceptanceLength),
  formatRates(summary.conditionalAcceptanceRatePerPosition),
];

const SPEED_COLUMNS = [
  'prompts',
  'tok/s',
  'plain tok/s',
  'off tok/s',
  'speedup over plain, median (min-max)',
  'over off',
  ...ACCEPTANCE_COLUMNS,
  'calibrated / measured',
  'distinct-4',
];

const speedCells = (summary: Summary): string[] => [
  format(summary.tokensPerSecond, 0),
  format(summary.baselineTokensPerSecond, 0),
  format(summary.offTokensPerSecond, 0),
  spread(summary.speedup),
  spread(summary.speedupOverOff),
  ...acceptanceCells(summary),
  format(summary.calibratedOverMeasured),
  format(summary.distinct4),
];

const qualityCells = (summary: AcceptanceSummary): string[] => [
  format(summary.distinct4),
  ...acceptanceCells(summary),
];

/** A table a temperature, then one of the longer continuations. */
export function benchTables({ quality, ...record }: BenchRecord): string {
  const lines = [
    `${record.model}, ${record.numTokens} tokens a prompt, median of ${record.numRepeats} runs, ${record.adaptive ? 'adaptive depth up to' : 'depth'} ` +
      `${record.maxDraftTokens}, ${machineOf(record)}, Node ${record.node}, ${record.date}.`,
  ];
  for (const [name, summaries] of Object.entries(record.results)) {
    const { total } = summaries;
    const identical = `${total.numIdentical} of ${total.numPrompts} prompts identical with and without speculation`;
    lines.push(
      '',
      `**${name}** (${identical})`,
      '',
      ...table(SPEED_COLUMNS, rowsByKind(summaries, speedCells)),
    );
    lines.push(...rowsWithoutLoops(total, speedCells).map(tableRow), '', loopSentence(total));
  }
  if (quality === undefined) return lines.join('\n');
  const rows = [...rowsByKind(quality, qualityCells), ...rowsWithoutLoops(quality.total, qualityCells)];
  lines.push('', `**Greedy, ${quality.numTokens} tokens a prompt**`, '');
  lines.push(
    ...table(['prompts', 'distinct-4', ...ACCEPTANCE_COLUMNS], rows),
    '',
    loopSentence(quality.total),
  );
  return lines.join('\n');
}

const machineOf = ({ machine, numThreads = 1 }: BenchRecord): string =>
  `${machine}, ${numThreads === 1 ? 'one thread' : `${numThreads} threads`} a forward`;

/** Totals of another run: `npm run bench -- --out docs/results/NAME.json`. */
export function otherRunSentence(record: BenchRecord, introduction: string): string {
  const totals = Object.entries(record.results).map(([name, { total }]) => {
    const { speedup, speedupOverOff, baselineTokensPerSecond, meanAcceptanceLength } = total;
    return (
      `${name}: **${format(speedup.median)}** times ${format(baselineTokensPerSecond, 0)} tokens per second of plain decoding ` +
      `(${format(speedup.min)} to ${format(speedup.max)}), ${format(speedupOverOff.median)} times \`off\` ` +
      `(${format(speedupOverOff.min)} to ${format(speedupOverOff.max)}), ` +
      `mean acceptance length ${format(meanAcceptanceLength)}`
    );
  });
  return `${introduction} (${machineOf(record)}, ${record.date}). ${totals.join('. ')}.`;
}

const depthCells = (summary: AcceptanceSummary): string[] => [
  formatRates(summary.conditionalAcceptanceRatePerPosition),
  format(summary.meanAcceptanceLength),
];

/** One table, the temperatures side by side. */
export function acceptanceTable(record: AcceptanceRecord): string {
  const runs = Object.entries(record.results);
  const kinds = Object.keys(runs[0]?.[1].byKind ?? {});
  const row = (
    name: string,
    of: (summaries: SummariesByKind<AcceptanceSummary>) => AcceptanceSummary | null,
  ) => [
    name,
    ...runs.flatMap(([, summaries]) => {
      const summary = of(summaries);
      return summary === null ? ['-', '-'] : depthCells(summary);
    }),
  ];
  const rows = [
    ...kinds.map((kind) => row(kind, ({ byKind }) => byKind[kind]!)),
    row('**all**', ({ total }) => total),
    row('**all but loops**', ({ total }) => total.withoutLoops),
  ];
  const columns = runs.flatMap(([name]) => [`${name}: by position`, `${name}: mean length`]);
  return [
    `${record.model}, ${record.numTokens} tokens a prompt, fixed depth ${record.numDraftTokens}, ${record.date}.`,
    '',
    ...table(['prompts', ...columns], rows),
    ...runs.flatMap(([name, { total }]) => ['', `${name}: ${loopSentence(total)}`]),
  ].join('\n');
}
