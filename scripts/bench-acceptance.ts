/**
 * `npm run bench:acceptance`: every prompt at a fixed depth, at several temperatures, to say how often the draft at each
 * position is accepted, by kind of code. Nothing is timed, so it may run while the machine is busy. Keeps the results
 * as JSON, and ends with them on the last line.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { GREEDY } from '../src/decoding/sampling-params.ts';
import {
  formatAcceptance,
  sampleOf,
  summariseAcceptance,
  type AcceptanceSummary,
  type Sample,
} from './bench/acceptance-summary.ts';
import { acceptanceRows, cardRows } from './bench/card-rows.ts';
import { printByKind, summariseByKind, type SummariesByKind } from './bench/loops.ts';
import { openEngine } from './bench/open-engine.ts';
import { prompts } from './bench/prompts.ts';
import type { AcceptanceRecord } from './bench/records.ts';
import { runRequest } from './bench/run-request.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    tokens: { type: 'string', default: '128' },
    threads: { type: 'string', default: '0' },
    temperatures: { type: 'string', default: '0,0.6,1' },
    'num-draft-tokens': { type: 'string', default: '4' },
    limit: { type: 'string', default: String(prompts.length) },
    out: { type: 'string', default: 'docs/results/acceptance.json' },
    'no-out': { type: 'boolean', default: false },
  },
});

const numTokens = Number(values.tokens);
const numDraftTokens = Number(values['num-draft-tokens']);
const speculation = { maxDraftTokens: numDraftTokens, adaptive: false, measureBaseline: false };
const chosen = prompts.slice(0, Number(values.limit));

const engine = await openEngine(values.model, Number(values.threads));
const results: Record<string, SummariesByKind<AcceptanceSummary>> = {};
for (const temperature of values.temperatures.split(',').map(Number)) {
  const samples: Sample[] = [];
  for (const prompt of chosen) {
    const sampling = { ...GREEDY, temperature, seed: 1 };
    const options = { prompt: prompt.text, numTokens, sampling, speculation };
    samples.push(sampleOf(prompt, await runRequest(engine, options)));
  }
  const summaries = summariseByKind(samples, summariseAcceptance);
  console.log(`\ntemperature ${temperature}, ${numTokens} tokens a prompt, ${numDraftTokens} drafts a round`);
  printByKind(summaries, formatAcceptance);
  results[`T=${temperature}`] = summaries;
}
const { id } = engine.model;
await engine.close();

const record: AcceptanceRecord = {
  date: new Date().toISOString().slice(0, 10),
  model: id,
  numTokens,
  numDraftTokens,
  results,
  card: Object.fromEntries(
    Object.entries(results).flatMap(([name, { total }]) =>
      cardRows(`depth ${numDraftTokens}, ${name}`, total, acceptanceRows),
    ),
  ),
};
if (!values['no-out']) {
  const path = resolve(values.out);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(record, null, 2)}\n`);
}
console.log(JSON.stringify(record));
