/**
 * `npm run peers`: the weights of a model folder in foretoken and in other runtimes for Node, each prompt on each of them
 * in turn, greedy, the same number of tokens. Every contestant has a process of its own, which stands still while
 * another's turn is. Numbers of threads are tried on the first prompts; the faster goes on. Prints a table and keeps the
 * results in docs/results/peers.json.
 */
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultModelFolder } from '../../src/config.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { machineFacts } from '../bench/machine-facts.ts';
import {
  AGREEING_TOKENS,
  hasBestThreads,
  peersTable,
  summarisePeers,
  type PeerMeasurement,
  type PeerSample,
  type PeersRecord,
} from '../bench/peers-record.ts';
import { prompts } from '../bench/prompts.ts';
import { format } from '../bench/statistics.ts';
import { ContestantProcess } from './contestant-process.ts';
import { contestants, nameOf, RUNTIMES } from './contestant.ts';
import { writeModelFiles } from './model-files.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    tokens: { type: 'string', default: '128' },
    prompts: { type: 'string', default: String(prompts.length) },
    'trial-prompts': { type: 'string', default: '4' },
    threads: { type: 'string', default: [...new Set([1, availableParallelism()])].join(',') },
    only: { type: 'string', default: '' },
    out: { type: 'string', default: 'docs/results/peers.json' },
    'no-out': { type: 'boolean', default: false },
  },
});

const WARM_UP_TOKENS = 32;
const numTokens = Number(values.tokens);
const modelFolder = resolve(values.model ?? defaultModelFolder());
const triedThreads = values.threads.split(',').map(Number);
const numTrialPrompts = Number(values['trial-prompts']);
const tokenizer = await loadTokenizer(modelFolder);
// A line break at the end would be half a token, and no other runtime heals it.
const chosen = prompts.slice(0, Number(values.prompts)).map(({ text }) => tokenizer.encode(text.trimEnd()));

interface Entrant {
  readonly process: ContestantProcess;
  readonly samples: PeerSample[];
}

const entrants: Entrant[] = [];
const folder = await mkdtemp(join(tmpdir(), 'foretoken-peers-'));
// A process at a standstill would never notice that its parent is gone.
process.once('exit', () => {
  for (const entrant of entrants) entrant.process.kill();
  rmSync(folder, { recursive: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

/** Foretoken always takes part: everything is measured against it. */
async function openAll(): Promise<void> {
  const files = await writeModelFiles(modelFolder, folder);
  const wanted = new RegExp(values.only);
  for (const contestant of contestants(files, triedThreads)) {
    if (contestant.runtime !== 'foretoken' && !wanted.test(nameOf(contestant))) continue;
    const entrant = { process: new ContestantProcess(contestant), samples: [] };
    entrants.push(entrant);
    await entrant.process.open();
    const { tokensPerSecond } = await entrant.process.decode(chosen[0]!, Math.min(numTokens, WARM_UP_TOKENS));
    console.log(`opened ${nameOf(contestant)}: ${format(tokensPerSecond, 0)} tok/s`);
  }
}

const measurementOf = ({ process: { contestant }, samples }: Entrant): PeerMeasurement => ({
  setting: contestant,
  samples,
});

async function measureAll(): Promise<void> {
  let running = entrants;
  for (const [index, promptIds] of chosen.entries()) {
    // There and back, so that nobody always runs behind the same one.
    for (const entrant of index % 2 === 0 ? running : running.toReversed()) {
      entrant.samples.push(await entrant.process.decode(promptIds, numTokens));
    }
    console.log(`prompt ${index + 1} of ${chosen.length}`);
    if (index + 1 !== numTrialPrompts) continue;
    const measurements = entrants.map(measurementOf);
    const isBest = measurements.map((measurement) => hasBestThreads(measurement, measurements));
    for (const [place, entrant] of entrants.entries()) if (!isBest[place]!) entrant.process.kill();
    running = entrants.filter((_, place) => isBest[place]!);
  }
}

async function versionsOf(packages: readonly string[]): Promise<Record<string, string>> {
  const versionOf = async (name: string): Promise<[string, string]> => {
    const path = join(import.meta.dirname, 'node_modules', name, 'package.json');
    return [name, (JSON.parse(await readFile(path, 'utf8')) as { readonly version: string }).version];
  };
  return Object.fromEntries(await Promise.all(packages.map(versionOf)));
}

const versions = await versionsOf(Object.keys(RUNTIMES).filter((name) => name !== 'foretoken'));
await openAll();
await measureAll();
for (const entrant of entrants) entrant.process.kill();

const record: PeersRecord = {
  ...machineFacts(),
  model: basename(modelFolder),
  numTokens,
  numPrompts: chosen.length,
  numTrialPrompts,
  triedThreads,
  versions,
  rows: summarisePeers(entrants.map(measurementOf)),
};
console.log(`\n${peersTable(record)}\n`);
for (const { agreement, numPrompts, ...row } of record.rows) {
  if (agreement === null || !row.hasBestThreads) continue;
  const { numAgreeing, numIdentical } = agreement;
  console.log(
    `${nameOf(row)}: ${numAgreeing} of ${numPrompts} prompts begin with foretoken's ${AGREEING_TOKENS} tokens, ` +
      `${numIdentical} are its ${numTokens}`,
  );
}
if (!values['no-out']) {
  await mkdir(dirname(values.out), { recursive: true });
  await writeFile(values.out, `${JSON.stringify(record, null, 2)}\n`);
}
