/**
 * `npm run check:exact`: decodes every prompt without speculation, with adaptive and with every fixed depth, greedy
 * and sampled, on one and on two threads, one at a time and then, twice, many at a time in two workers that share prefixes and
 * remember what they answered, and counts the prompts whose token ids are the same. The last line is JSON; --out keeps the results.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { GREEDY, type SamplingParams } from '../src/decoding/sampling-params.ts';
import type { Engine, SpeculationSettings } from '../src/engine/generation.ts';
import { numThreadsOf, openEngine } from './bench/open-engine.ts';
import { manyPrompts } from './bench/prompts.ts';
import { runRequest } from './bench/run-request.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    prompts: { type: 'string', default: '100' },
    tokens: { type: 'string', default: '128' },
    seeds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '1,2' },
    /** A part of the samplings: greedy, sampled or penalties. */
    only: { type: 'string' },
    out: { type: 'string' },
  },
});
const prompts = manyPrompts(Number(values.prompts));
const numTokens = Number(values.tokens);
const seeds = Array.from({ length: Number(values.seeds) }, (_, index) => index + 1);
const threadCounts = values.threads.split(',').map(Number);

const SAMPLED = { ...GREEDY, temperature: 0.8 };
const WITH_PENALTIES = {
  ...SAMPLED,
  topP: 0.95,
  presencePenalty: 0.3,
  frequencyPenalty: 0.2,
  repetitionPenalty: 1.1,
};
const samplings = [
  { part: 'greedy', name: 'greedy', params: GREEDY },
  ...seeds.map((seed) => ({ part: 'sampled', name: `T=0.8 seed ${seed}`, params: { ...SAMPLED, seed } })),
  ...seeds.map((seed) => ({
    part: 'penalties',
    name: `T=0.8 top_p penalties seed ${seed}`,
    params: { ...WITH_PENALTIES, seed },
  })),
].filter(({ part }) => values.only === undefined || values.only.split(',').includes(part));

const OFF: SpeculationSettings = { maxDraftTokens: 0, adaptive: false, measureBaseline: false };

const NUM_AT_A_TIME = 8;

/** The prompts whose ids under `speculation` are the reference's, of those given. */
async function countIdentical(
  engine: Engine,
  sampling: SamplingParams,
  speculation: SpeculationSettings,
  references: readonly string[],
  numAtATime = 1,
): Promise<number> {
  let identical = 0;
  const left = prompts.entries();
  const decodeThoseLeft = async (): Promise<void> => {
    for (const [index, prompt] of left) {
      const options = { prompt: prompt.text, numTokens, sampling, speculation };
      const { tokenIds } = await runRequest(engine, options);
      if (tokenIds.join() === references[index]) identical += 1;
    }
  };
  await Promise.all(Array.from({ length: numAtATime }, decodeThoseLeft));
  return identical;
}

const auto = (engine: Engine): SpeculationSettings => ({
  maxDraftTokens: engine.model.numSpecTokens,
  adaptive: true,
  measureBaseline: false,
});

interface Row {
  readonly threads: number;
  readonly sampling: string;
  readonly mode: string;
  readonly identical: number;
}

const rows: Row[] = [];
const keep = (row: Row): void => {
  rows.push(row);
  const { threads, sampling, mode, identical } = row;
  console.log(`${threads} threads, ${sampling}, ${mode}: ${identical} of ${prompts.length} identical`);
};
let modelId = '';
/** Of the first thread count: the others must give the same. */
const referencesBySampling = new Map<string, string[]>();
for (const numThreads of threadCounts) {
  const engine = await openEngine(values.model, numThreads);
  const { id, maxSpecTokens } = engine.model;
  modelId = id;
  const modes: (readonly [string, SpeculationSettings])[] = [
    ['off', OFF],
    ['auto', auto(engine)],
    ...Array.from(
      { length: maxSpecTokens },
      (_, index) =>
        [`k=${index + 1}`, { maxDraftTokens: index + 1, adaptive: false, measureBaseline: false }] as const,
    ),
  ];
  for (const { name: samplingName, params: sampling } of samplings) {
    // The first mode of the first thread count makes the reference.
    if (!referencesBySampling.has(samplingName)) {
      const references: string[] = [];
      for (const prompt of prompts) {
        const options = { prompt: prompt.text, numTokens, sampling, speculation: OFF };
        references.push((await runRequest(engine, options)).tokenIds.join());
      }
      referencesBySampling.set(samplingName, references);
    }
    const references = referencesBySampling.get(samplingName)!;
    const isReference = numThreads === threadCounts[0];
    for (const [modeName, speculation] of isReference ? modes.slice(1) : modes) {
      const identical = await countIdentical(engine, sampling, speculation, references);
      keep({ threads: numThreads, sampling: samplingName, mode: modeName, identical });
    }
  }
  await engine.close();
}
// As it is served: who has the machine to itself for a while gets more threads.
const busy = await openEngine(values.model, 0, {
  numWorkers: 2,
  maxNumSeqs: NUM_AT_A_TIME,
  prefixCache: true,
});
for (const { name: samplingName, params: sampling } of samplings) {
  const references = referencesBySampling.get(samplingName)!;
  // The second time round, drafts are what was answered the first time.
  for (const again of ['', ', again']) {
    const identical = await countIdentical(busy, sampling, auto(busy), references, NUM_AT_A_TIME);
    const mode = `auto, ${NUM_AT_A_TIME} at a time${again}`;
    keep({ threads: numThreadsOf(busy), sampling: samplingName, mode, identical });
  }
}
await busy.close();
const record = {
  date: new Date().toISOString().slice(0, 10),
  model: modelId,
  prompts: prompts.length,
  tokens: numTokens,
  compared: rows.length * prompts.length,
  identical: rows.reduce((sum, row) => sum + row.identical, 0),
  rows,
};
if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(record, null, 2)}\n`);
console.log(JSON.stringify({ ...record, rows: undefined }));
process.exitCode = record.identical === record.compared ? 0 : 1;
