/**
 * `npm run docs:numbers`: writes the tables between `<!-- NAME:start -->` and `<!-- NAME:end -->` of README.md from
 * the results files in docs/results. With --check it only says whether they are as they should be.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
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

function row(name: string, summary: Summary): string {
  const { speedup } = summary;
  const cells = [
    name,
    fixed(summary.tokensPerSecond, 0),
    fixed(summary.baselineTokensPerSecond, 0),
    fixed(summary.offTokensPerSecond, 0),
    `${fixed(speedup.median)} (${fixed(speedup.min)}-${fixed(speedup.max)})`,
    fixed(summary.draftAcceptanceRate),
    fixed(summary.meanAcceptanceLength),
    summary.conditionalAcceptanceRatePerPosition.map((rate) => fixed(rate)).join(' '),
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
    for (const [kind, summary] of Object.entries(byKind)) lines.push(row(kind, summary));
    lines.push(row('**all**', total));
  }
  return lines.join('\n');
}

const replaced = (text: string, name: string, content: string): string => {
  const pattern = new RegExp(`(<!-- ${name}:start -->)[\\s\\S]*?(<!-- ${name}:end -->)`);
  if (!pattern.test(text)) throw new Error(`README.md: expected the markers of '${name}'`);
  return text.replace(pattern, (_, start: string, end: string) => `${start}\n${content}\n${end}`);
};

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const record = JSON.parse(await readFile('docs/results/bench.json', 'utf8')) as BenchRecord;
const current = await readFile('README.md', 'utf8');
const updated = replaced(current, 'bench', benchTable(record));
if (!values.check) await writeFile('README.md', updated);
else if (updated !== current) {
  console.error('README.md: its tables are not those of docs/results; run npm run docs:numbers');
  process.exitCode = 1;
}
