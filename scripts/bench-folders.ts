/**
 * `npm run bench:folders -- FOLDER ...`: model folders side by side, each prompt on each of them in turn, greedy. For
 * choosing between exports of the same weights (precision, block size, vocabulary of drafts); the model card quotes the
 * results file by the folders' names.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { GREEDY } from '../src/decoding/sampling-params.ts';
import { median } from '../src/decoding/robust-statistics.ts';
import { mergedSpeculation } from '../src/metrics/merged-report.ts';
import { specDecodeReport } from '../src/metrics/spec-decode-stats.ts';
import { speedupReport, type GenerationReport } from '../src/metrics/generation-report.ts';
import { openEngine } from './bench/open-engine.ts';
import { prompts } from './bench/prompts.ts';
import { runRequest } from './bench/run-request.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tokens: { type: 'string', default: '96' },
    threads: { type: 'string', default: '0' },
    'num-draft-tokens': { type: 'string', default: '3' },
    every: { type: 'string', default: '2' },
    out: { type: 'string' },
  },
});
if (positionals.length === 0) throw new Error('expected the model folders to compare');

const numTokens = Number(values.tokens);
const speculation = {
  maxDraftTokens: Number(values['num-draft-tokens']),
  adaptive: false,
  measureBaseline: true,
};
const contestants = await Promise.all(
  positionals.map(async (folder) => ({
    name: basename(resolve(folder)),
    engine: await openEngine(folder, Number(values.threads)),
    reports: [] as GenerationReport[],
  })),
);
const chosen = prompts.filter((_, index) => index % Number(values.every) === 0);
for (const [index, { text }] of [chosen[0]!, ...chosen].entries()) {
  for (const { engine, reports } of contestants) {
    const { report } = await runRequest(engine, { prompt: text, numTokens, sampling: GREEDY, speculation });
    // The first prompt comes twice: once to warm up.
    if (index > 0) reports.push(report);
  }
}
await Promise.all(contestants.map(({ engine }) => engine.close()));

const round = (value: number): number => Math.round(value * 1000) / 1000;
const rows = contestants.map(({ name, reports }) => {
  const of = (figure: (report: GenerationReport) => number): number => round(median(reports.map(figure)));
  const drafted = specDecodeReport(mergedSpeculation(reports.map((report) => report.speculation)));
  return {
    name,
    tokens_per_second: of((report) => speedupReport(report)!.tokens_per_second),
    baseline_tokens_per_second: of((report) => speedupReport(report)!.baseline_tokens_per_second),
    speedup: of((report) => speedupReport(report)!.factor),
    draft_acceptance_rate: round(drafted.draft_acceptance_rate),
    mean_acceptance_length: round(drafted.mean_acceptance_length),
  };
});
console.table(rows);
if (values.out !== undefined) {
  const record = { num_prompts: chosen.length, num_tokens: numTokens, ...speculation, rows };
  await mkdir(dirname(resolve(values.out)), { recursive: true });
  await writeFile(values.out, `${JSON.stringify(record, null, 2)}\n`);
}
