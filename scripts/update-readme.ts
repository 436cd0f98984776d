/**
 * `npm run docs:numbers`: writes the tables between `<!-- NAME:start -->` and `<!-- NAME:end -->` of README.md from
 * the results files in docs/results. With --check it only says whether they are as they should be.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { formatRates } from './bench/statistics.ts';
import type { Summary } from './bench/summary.ts';

interface BenchRecord {
  readonly date: string;
  readonly model: string;
  readonly machine: string;
  readonly node: string;
  readonly numTokens: number;
  readonly maxDraftTokens: number;
  readonly adaptive: boolean;
  readonly results: Readonly<
    Record<string, { readonly total: Summary; readonly byKind: Readonly<Record<string, Summary>> }>
  >;
}

const fixed = (value: number, digits = 2): string => value.toFixed(digits);

const spread = ({ median, min, max }: Summary['speedup']): string =>
  `${fixed(median)} (${fixed(min)}-${fixed(max)})`;

function tableRow(name: string, summary: Summary): string {
  const cells = [
    name,
    fixed(summary.tokensPerSecond, 0),
    fixed(summary.baselineTokensPerSecond, 0),
    fixed(summary.offTokensPerSecond, 0),
    spread(summary.speedup),
    spread(summary.speedupOverOff),
    fixed(summary.draftAcceptanceRate),
    fixed(summary.meanAcceptanceLength),
    formatRates(summary.conditionalAcceptanceRatePerPosition),
    fixed(summary.calibratedOverMeasured),
    fixed(summary.distinct4),
  ];
  return `| ${cells.join(' | ')} |`;
}

function benchTable(record: BenchRecord): string {
  const columns = [
    'prompts',
    'tok/s',
    'plain tok/s',
    'off tok/s',
    'speedup over plain, median (min-max)',
    'over off',
    'acceptance rate',
    'mean acceptance length',
    'conditional acceptance by position',
    'calibrated / measured',
    'distinct-4',
  ];
  const lines = [
    `${record.model}, ${record.numTokens} tokens a prompt, ${record.adaptive ? 'adaptive depth up to' : 'depth'} ` +
      `${record.maxDraftTokens}, ${record.machine}, Node ${record.node}, ${record.date}.`,
  ];
  for (const [name, { total, byKind }] of Object.entries(record.results)) {
    const identical = `${total.numIdentical} of ${total.numPrompts} prompts identical with and without speculation`;
    lines.push('', `**${name}** (${identical})`, '');
    lines.push(
      `| ${columns.join(' | ')} |`,
      `| ${columns.map((_, index) => (index === 0 ? '---' : '--:')).join(' | ')} |`,
    );
    for (const [kind, summary] of Object.entries(byKind)) lines.push(tableRow(kind, summary));
    lines.push(tableRow('**all**', total));
  }
  return lines.join('\n');
}

interface ExactRecord {
  readonly date: string;
  readonly prompts: number;
  readonly tokens: number;
  readonly compared: number;
  readonly identical: number;
  readonly rows: readonly { readonly threads: number; readonly sampling: string; readonly mode: string }[];
}

/** The parts of `npm run check:exact`, added up. */
async function exactSentence(): Promise<string> {
  const files = (await readdir('docs/results')).filter((name) => /^exact.*\.json$/.test(name));
  const records = await Promise.all(
    files.map(async (name) => JSON.parse(await readFile(`docs/results/${name}`, 'utf8')) as ExactRecord),
  );
  const sum = (figure: (record: ExactRecord) => number): number =>
    records.reduce((total, record) => total + figure(record), 0);
  const different = (figure: (row: ExactRecord['rows'][number]) => string | number): string =>
    [...new Set(records.flatMap((record) => record.rows.map(figure)))].join(', ');
  const [first] = records;
  if (first === undefined) throw new Error('docs/results: expected the results of npm run check:exact');
  return (
    `\`npm run check:exact\` (${first.date}, ${first.prompts} prompts of ${first.tokens} tokens): ` +
    `**${sum((record) => record.identical)} of ${sum((record) => record.compared)}** completions had the token ids of ` +
    `decoding without speculation. Modes: ${different((row) => row.mode)}; threads: ${different((row) => row.threads)}; ` +
    `sampling: ${different((row) => row.sampling)}.`
  );
}

const replaced = (text: string, name: string, content: string): string => {
  const pattern = new RegExp(`(<!-- ${name}:start -->)[\\s\\S]*?(<!-- ${name}:end -->)`);
  if (!pattern.test(text)) throw new Error(`README.md: expected the markers of '${name}'`);
  return text.replace(pattern, (_, start: string, end: string) => `${start}\n${content}\n${end}`);
};

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const record = JSON.parse(await readFile('docs/results/bench.json', 'utf8')) as BenchRecord;
const current = await readFile('README.md', 'utf8');
const updated = replaced(replaced(current, 'bench', benchTable(record)), 'exact', await exactSentence());
if (!values.check) await writeFile('README.md', updated);
else if (updated !== current) {
  console.error('README.md: its tables are not those of docs/results; run npm run docs:numbers');
  process.exitCode = 1;
}
