/**
 * `npm run docs:numbers`: writes the tables between `<!-- NAME:start -->` and `<!-- NAME:end -->` of README.md from
 * the results files in docs/results. With --check it only says whether they are as they should be.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { peersSentence, peersTable, type PeersRecord } from './bench/peers-record.ts';
import { healingTable, type HealingRecord } from './bench/healing-record.ts';
import { profileSentence, type ProfileRecord } from './bench/profile-record.ts';
import { prefixSentence, type PrefixRecord } from './bench/prefix-record.ts';
import { acceptanceTable, benchTables, otherRunSentence } from './bench/readme-tables.ts';
import type { AcceptanceRecord, BenchRecord } from './bench/records.ts';
import { samplingTable, type SamplingRecord } from './bench/sampling-record.ts';
import { serverTable, type ServerRecord } from './bench/server-record.ts';
import { typingTable, type TypingRecord } from './bench/typing-record.ts';

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
  return text.replace(pattern, (_, start: string, end: string) =>
    content === '' ? `${start}\n${end}` : `${start}\n${content}\n${end}`,
  );
};

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const results = async (name: string): Promise<unknown> =>
  JSON.parse(await readFile(`docs/results/${name}.json`, 'utf8')) as unknown;
const blocks = {
  bench: benchTables((await results('bench')) as BenchRecord),
  again: otherRunSentence(
    (await results('bench-again')) as BenchRecord,
    'The same some hours earlier or later',
  ),
  processor: [
    otherRunSentence((await results('bench-avx512')) as BenchRecord, 'The same on another processor'),
    otherRunSentence((await results('adversarial-avx512')) as BenchRecord, 'Adversarial prompts there'),
    peersSentence((await results('peers-avx512')) as PeersRecord, 'Beside other runtimes there'),
  ].join('\n\n'),
  profile: profileSentence((await results('profile')) as ProfileRecord),
  acceptance: acceptanceTable((await results('acceptance')) as AcceptanceRecord),
  exact: await exactSentence(),
  healing: healingTable((await results('healing')) as HealingRecord),
  prefix: prefixSentence((await results('prefix')) as PrefixRecord),
  typing: typingTable((await results('typing')) as TypingRecord),
  sampling: samplingTable((await results('sampling')) as SamplingRecord),
  server: serverTable((await results('server')) as ServerRecord),
  adversarial: benchTables((await results('adversarial')) as BenchRecord),
  // Measured only where the other runtimes were installed.
  peers: existsSync('docs/results/peers.json') ? peersTable((await results('peers')) as PeersRecord) : '',
};
const current = await readFile('README.md', 'utf8');
const updated = Object.entries(blocks).reduce(
  (text, [name, content]) => replaced(text, name, content),
  current,
);
if (!values.check) await writeFile('README.md', updated);
else if (updated !== current) {
  console.error('README.md: its tables are not those of docs/results; run npm run docs:numbers');
  process.exitCode = 1;
}
