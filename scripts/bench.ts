/**
 * `npm run bench`: every prompt with and without speculation, one right after the other, greedy and sampled. Prints
 * per kind and in total what was drafted and accepted and how much faster it was, with and without the prompts that
 * loop. Then decodes every prompt greedily for longer, to print how much the model repeats itself. Keeps the results as
 * JSON, and ends with them on the last line. `--adversarial` takes prompts that no draft can be expected to guess.
 *
 * The baseline of a speedup is plain decoding one token wide, replayed for the same request (`measured`); `off` is
 * what `speculation: "off"` takes as it is served.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { GREEDY } from '../src/decoding/sampling-params.ts';
import { speedupReport } from '../src/metrics/generation-report.ts';
import type { GenerationRequest, SpeculationSettings } from '../src/engine/generation.ts';
import { formatAcceptance, sampleOf, summariseAcceptance, type Sample } from './bench/acceptance-summary.ts';
import { adversarialPrompts } from './bench/adversarial-prompts.ts';
import { acceptanceRows, cardRows, speedRows } from './bench/card-rows.ts';
import { printByKind, summariseByKind, type SummariesByKind } from './bench/loops.ts';
import { machineFacts } from './bench/machine-facts.ts';
import { numThreadsOf, openEngine } from './bench/open-engine.ts';
import { prompts, type Prompt } from './bench/prompts.ts';
import type { BenchRecord } from './bench/records.ts';
import { runRequest } from './bench/run-request.ts';
import { format } from './bench/statistics.ts';
import { medianMeasurement, summarise, type Measurement, type Summary } from './bench/summary.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    tokens: { type: 'string', default: '128' },
    'quality-tokens': { type: 'string', default: '256' },
    threads: { type: 'string', default: '0' },
    adversarial: { type: 'boolean', default: false },
    temperatures: { type: 'string' },
    'num-draft-tokens': { type: 'string' },
    fixed: { type: 'boolean', default: false },
    repeats: { type: 'string', default: '7' },
    limit: { type: 'string', default: String(prompts.length) },
    out: { type: 'string' },
    'no-out': { type: 'boolean', default: false },
  },
});

const numTokens = Number(values.tokens);
const numRepeats = Number(values.repeats);
const numQualityTokens = Number(values['quality-tokens']);
const engine = await openEngine(values.model, Number(values.threads));
const maxDraftTokens = Number(values['num-draft-tokens'] ?? engine.model.numSpecTokens);
const off: SpeculationSettings = { maxDraftTokens: 0, adaptive: false, measureBaseline: false };
const auto: SpeculationSettings = { maxDraftTokens, adaptive: !values.fixed, measureBaseline: false };

type AnyPrompt = Prompt<GenerationRequest['prompt']>;

/** Once without and once with speculation. */
async function measurePair(prompt: AnyPrompt, temperature: number): Promise<Measurement> {
  const options = { prompt: prompt.text, numTokens, sampling: { ...GREEDY, temperature, seed: 1 } };
  const plain = await runRequest(engine, { ...options, speculation: off });
  const measured = await runRequest(engine, { ...options, speculation: { ...auto, measureBaseline: true } });
  const speedup = speedupReport(measured.report)!;
  const { seconds, calibratedSeconds } = measured.report.baseline!;
  const offTokensPerSecond = (numTokens - 1) / plain.report.timings.decodeSeconds;
  return {
    ...sampleOf(prompt, measured),
    tokensPerSecond: speedup.tokens_per_second,
    baselineTokensPerSecond: speedup.baseline_tokens_per_second,
    offTokensPerSecond,
    speedupOverOff: speedup.tokens_per_second / offTokensPerSecond,
    measuredSpeedup: speedup.factor,
    calibratedOverMeasured: calibratedSeconds! / seconds,
    isIdentical: speedup.identical === true && plain.tokenIds.join() === measured.tokenIds.join(),
  };
}

/** Medians over `--repeats` pairs: the text is the same each time, the machine is not. */
async function measure(prompt: AnyPrompt, temperature: number): Promise<Measurement> {
  const pairs: Measurement[] = [];
  for (let repeat = 0; repeat < numRepeats; repeat += 1) pairs.push(await measurePair(prompt, temperature));
  return medianMeasurement(pairs);
}

async function decodeGreedily(prompt: AnyPrompt): Promise<Sample> {
  const options = { prompt: prompt.text, numTokens: numQualityTokens, sampling: GREEDY, speculation: auto };
  return sampleOf(prompt, await runRequest(engine, options));
}

function formatSummary(summary: Summary): string {
  const { speedup, speedupOverOff } = summary;
  return [
    `${format(summary.tokensPerSecond, 0)} tok/s (plain ${format(summary.baselineTokensPerSecond, 0)}, off ${format(summary.offTokensPerSecond, 0)})`,
    `speedup ${format(speedup.median)} [${format(speedup.min)}-${format(speedup.max)}]`,
    `over off ${format(speedupOverOff.median)} [${format(speedupOverOff.min)}-${format(speedupOverOff.max)}]`,
    `calibrated/measured ${format(summary.calibratedOverMeasured)}`,
    formatAcceptance(summary),
  ].join('  ');
}

const chosen: readonly AnyPrompt[] = (
  values.adversarial ? adversarialPrompts(engine.model.vocabSize) : prompts
).slice(0, Number(values.limit));
const temperatures = values.temperatures ?? (values.adversarial ? '0,0.8,1.5' : '0,0.8');
await measure(chosen[0]!, 0);
const results: Record<string, SummariesByKind<Summary>> = {};
for (const temperature of temperatures.split(',').map(Number)) {
  const measurements: Measurement[] = [];
  for (const prompt of chosen) measurements.push(await measure(prompt, temperature));
  console.log(
    `\ntemperature ${temperature}, ${numTokens} tokens a prompt, at most ${maxDraftTokens} drafts a round`,
  );
  const summaries = summariseByKind(measurements, summarise);
  printByKind(summaries, formatSummary);
  results[`T=${temperature}`] = summaries;
}

async function measureQuality(): Promise<NonNullable<BenchRecord['quality']>> {
  const samples: Sample[] = [];
  for (const prompt of chosen) samples.push(await decodeGreedily(prompt));
  const quality = { numTokens: numQualityTokens, ...summariseByKind(samples, summariseAcceptance) };
  console.log(`\ngreedy continuations of ${numQualityTokens} tokens`);
  printByKind(quality, formatAcceptance);
  console.log(
    `median distinct-4 ${format(quality.total.distinct4)}, ${quality.total.loops.length} of ${chosen.length} prompts loop`,
  );
  return quality;
}
const quality = values.adversarial ? undefined : await measureQuality();

const { id, numSpecTokens } = engine.model;
await engine.close();

const record: BenchRecord = {
  ...machineFacts(),
  numThreads: numThreadsOf(engine),
  model: id,
  numTokens,
  numRepeats,
  maxDraftTokens: values['num-draft-tokens'] === undefined ? numSpecTokens : maxDraftTokens,
  adaptive: auto.adaptive,
  results,
  ...(quality === undefined ? {} : { quality }),
  card: Object.fromEntries([
    ...Object.entries(results).flatMap(([name, { total }]) => cardRows(name, total, speedRows)),
    ...(quality === undefined
      ? []
      : cardRows(`greedy, ${numQualityTokens} tokens`, quality.total, acceptanceRows)),
  ]),
};
if (!values['no-out']) {
  const path = resolve(values.out ?? `docs/results/${values.adversarial ? 'adversarial' : 'bench'}.json`);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(record, null, 2)}\n`);
}
console.log(JSON.stringify(record));
