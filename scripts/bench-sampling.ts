/**
 * `npm run bench:sampling`: what speculation gains and what choosing tokens costs, setting by setting. In the served engine,
 * prompt after prompt with every setting in turn, without speculation and with; and choosing by itself, from random logits
 * of a small and of a large vocabulary. Keeps the result in docs/results/sampling.json.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { gumbel, positionKey, tokenBits } from '../src/decoding/random.ts';
import { median } from '../src/decoding/robust-statistics.ts';
import { Sampler } from '../src/decoding/sampler.ts';
import { GREEDY, type SamplingParams } from '../src/decoding/sampling-params.ts';
import { machineFacts } from './bench/machine-facts.ts';
import { openEngine } from './bench/open-engine.ts';
import { prompts } from './bench/prompts.ts';
import { runRequest } from './bench/run-request.ts';
import {
  samplingTable,
  summariseSampling,
  type SampledPair,
  type SamplingRecord,
  type SamplingRow,
} from './bench/sampling-record.ts';
import { round } from './bench/statistics.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '0' },
    tokens: { type: 'string', default: '96' },
    repeats: { type: 'string', default: '3' },
    limit: { type: 'string', default: String(prompts.length) },
    out: { type: 'string', default: 'docs/results/sampling.json' },
    'no-out': { type: 'boolean', default: false },
  },
});

const SETTINGS: readonly SamplingRow['params'][] = [
  { temperature: 0 },
  { temperature: 0.8 },
  { temperature: 0.8, topP: 0.95 },
  { temperature: 0.8, topK: 40 },
  { temperature: 0.8, minP: 0.05 },
  { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05 },
  { temperature: 0.8, presencePenalty: 0.5, repetitionPenalty: 1.1 },
];
/** The default model's, and Qwen3's. */
const VOCAB_SIZES = [6144, 151_936];
const NUM_ROWS = 40;
/** Of a prompt that penalties look at. */
const NUM_PROMPT_TOKENS = 512;

/** Standard deviations of a model's logits are some three nats. Sums of two of the noise are near enough to normal. */
const randomLogits = (vocabSize: number): Float32Array[] =>
  Array.from({ length: NUM_ROWS }, (_row, row) => {
    const keys = [positionKey(1, row), positionKey(2, row)] as const;
    return Float32Array.from(
      { length: vocabSize },
      (_, tokenId) => 1.65 * (gumbel(tokenBits(keys[0], tokenId)) - gumbel(tokenBits(keys[1], tokenId))),
    );
  });

function chooseMicroseconds(params: SamplingParams, logits: readonly Float32Array[]): number {
  const promptTokenIds = Array.from({ length: NUM_PROMPT_TOKENS }, (_, index) => index * 7);
  const sampler = new Sampler(params, promptTokenIds);
  const times: number[] = [];
  for (let repeat = 0; repeat < 8; repeat += 1) {
    for (const [position, row] of logits.entries()) {
      const start = performance.now();
      sampler.choose(row, position);
      // The first ones are those of code that is not compiled yet.
      if (repeat > 3) times.push((performance.now() - start) * 1000);
    }
  }
  return round(median(times));
}

const engine = await openEngine(values.model, Number(values.threads));
const auto = { maxDraftTokens: engine.model.numSpecTokens, adaptive: true, measureBaseline: false };
const off = { ...auto, maxDraftTokens: 0 };
const numTokens = Number(values.tokens);
const chosen = prompts.slice(0, Number(values.limit));

async function measurePair(prompt: string, sampling: SamplingParams): Promise<SampledPair> {
  const plain = await runRequest(engine, { prompt, numTokens, sampling, speculation: off });
  const { report } = await runRequest(engine, { prompt, numTokens, sampling, speculation: auto });
  return {
    numTokens: numTokens - 1,
    offSeconds: plain.report.timings.decodeSeconds,
    numRounds: numTokens - 1 - report.speculation.numAcceptedDraftTokens,
    decodeSeconds: report.timings.decodeSeconds,
    sampleSeconds: report.timings.sampleSeconds,
  };
}

const pairs = SETTINGS.map((): SampledPair[] => []);
for (let repeat = 0; repeat < Number(values.repeats); repeat += 1) {
  for (const { text } of chosen) {
    for (const [index, params] of SETTINGS.entries())
      pairs[index]!.push(await measurePair(text, { ...GREEDY, ...params, seed: repeat }));
  }
}
await engine.close();

const logitsBySize = VOCAB_SIZES.map(randomLogits);
const record: SamplingRecord = {
  ...machineFacts(),
  model: engine.model.id,
  numPrompts: chosen.length,
  vocabSizes: VOCAB_SIZES,
  rows: SETTINGS.map((params, index) => ({
    params,
    ...summariseSampling(pairs[index]!),
    chooseMicroseconds: logitsBySize.map((logits) => chooseMicroseconds({ ...GREEDY, ...params }, logits)),
  })),
};
console.log(samplingTable(record));
if (!values['no-out']) {
  await mkdir(dirname(values.out), { recursive: true });
  await writeFile(values.out, `${JSON.stringify(record, null, 2)}\n`);
}
