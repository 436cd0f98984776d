/**
 * `npm run bench`: every prompt with and without speculation, one right after the other, greedy and sampled. Prints
 * per kind and in total what was drafted and accepted and how much faster it was, keeps the results as JSON, and ends
 * with them on the last line.
 *
 * The baseline of a speedup is plain decoding one token wide, replayed for the same request (`measured`); `off` is
 * what `speculation: "off"` takes, which decodes at the width that keeps the text bit-identical.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { GREEDY } from '../src/decoding/sampling-params.ts';
import { speedupReport } from '../src/metrics/generation-report.ts';
import type { SpeculationSettings } from '../src/engine/generation.ts';
import { openEngine } from './bench/open-engine.ts';
import { prompts } from './bench/prompts.ts';
import { runRequest } from './bench/run-request.ts';
import { distinct4, formatRates } from './bench/statistics.ts';
import { summarise, type Measurement, type Summary } from './bench/summary.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    tokens: { type: 'string', default: '128' },
    threads: { type: 'string', default: '0' },
    temperatures: { type: 'string', default: '0,0.8' },
    'num-draft-tokens': { type: 'string' },
    fixed: { type: 'boolean', default: false },
    limit: { type: 'string', default: String(prompts.length) },
    out: { type: 'string', default: 'docs/results/bench.json' },
    'no-out': { type: 'boolean', default: false },
  },
});

const numTokens = Number(values.tokens);
const engine = await openEngine(values.model, Number(values.threads));
const maxDraftTokens = Number(values['num-draft-tokens'] ?? engine.model.numSpecTokens);
const off: SpeculationSettings = { maxDraftTokens: 0, adaptive: false, measureBaseline: false };
const auto: SpeculationSettings = { maxDraftTokens, adaptive: !values.fixed, measureBaseline: false };

async function measure(kind: string, prompt: string, temperature: number): Promise<Measurement> {
  const options = { prompt, numTokens, sampling: { ...GREEDY, temperature, seed: 1 } };
  const plain = await runRequest(engine, { ...options, speculation: off });
  const measured = await runRequest(engine, { ...options, speculation: { ...auto, measureBaseline: true } });
  const speedup = speedupReport(measured.report)!;
  const { seconds, calibratedSeconds } = measured.report.baseline!;
  return {
    kind,
    temperature,
    tokensPerSecond: speedup.tokens_per_second,
    baselineTokensPerSecond: speedup.baseline_tokens_per_second,
    offTokensPerSecond: (numTokens - 1) / plain.report.timings.decodeSeconds,
    measuredSpeedup: speedup.factor,
    calibratedOverMeasured: calibratedSeconds! / seconds,
    isIdentical: speedup.identical === true && plain.tokenIds.join() === measured.tokenIds.join(),
    distinct4: distinct4(measured.tokenIds),
    speculation: measured.report.speculation,
  };
}

const format = (value: number, digits = 2): string => value.toFixed(digits);

function printSummary(name: string, summary: Summary): void {
  const { speedup } = summary;
  console.log(
    [
      name.padEnd(28),
      `${format(summary.tokensPerSecond, 0)} tok/s (plain ${format(summary.baselineTokensPerSecond, 0)}, off ${format(summary.offTokensPerSecond, 0)})`,
      `speedup ${format(speedup.median)} [${format(speedup.min)}-${format(speedup.max)}]`,
      `acceptance ${format(summary.draftAcceptanceRate)} length ${format(summary.meanAcceptanceLength)}`,
      `per position ${summary.acceptanceRatePerPosition.map((rate) => format(rate)).join(' ')}`,
      `conditional ${formatRates(summary.conditionalAcceptanceRatePerPosition)}`,
      `calibrated/measured ${format(summary.calibratedOverMeasured)}`,
      `distinct-4 ${format(summary.distinct4)}`,
    ].join('  '),
  );
}

function cardRows(name: string, total: Summary): (readonly [string, string])[] {
  const { speedup } = total;
  return [
    [`${name}: acceptance rate`, format(total.draftAcceptanceRate)],
    [`${name}: mean acceptance length`, format(total.meanAcceptanceLength)],
    [`${name}: conditional acceptance by position`, formatRates(total.conditionalAcceptanceRatePerPosition)],
    [
      `${name}: speedup over plain decoding, median (least to greatest)`,
      `${format(speedup.median)} (${format(speedup.min)} to ${format(speedup.max)})`,
    ],
    [`${name}: distinct-4`, format(total.distinct4)],
  ];
}

const chosen = prompts.slice(0, Number(values.limit));
await measure('warm-up', chosen[0]!.text, 0);
const results: Record<string, { total: Summary; byKind: Record<string, Summary> }> = {};
for (const temperature of values.temperatures.split(',').map(Number)) {
  const measurements: Measurement[] = [];
  for (const { kind, text } of chosen) measurements.push(await measure(kind, text, temperature));
  console.log(
    `\ntemperature ${temperature}, ${numTokens} tokens a prompt, at most ${maxDraftTokens} drafts a round`,
  );
  const byKind: Record<string, Summary> = {};
  for (const kind of new Set(chosen.map((prompt) => prompt.kind))) {
    byKind[kind] = summarise(measurements.filter((measurement) => measurement.kind === kind));
    printSummary(kind, byKind[kind]);
  }
  const total = summarise(measurements);
  printSummary('total', total);
  results[`T=${temperature}`] = { total, byKind };
}
const { id, numSpecTokens } = engine.model;
await engine.close();

const record = {
  date: new Date().toISOString().slice(0, 10),
  model: id,
  machine: `${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores`,
  node: process.version,
  numTokens,
  maxDraftTokens: values['num-draft-tokens'] === undefined ? numSpecTokens : maxDraftTokens,
  adaptive: auto.adaptive,
  results,
  /** What the model card quotes. */
  card: Object.fromEntries(Object.entries(results).flatMap(([name, { total }]) => cardRows(name, total))),
};
if (!values['no-out']) {
  const path = resolve(values.out);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(record, null, 2)}\n`);
}
console.log(JSON.stringify(record));
