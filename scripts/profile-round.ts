/**
 * `npm run profile`: where a round's time goes. Every kind of forward by kernels, executor and call; then rounds of the
 * served engine by drafting, verifying, sampling and the rest; and the floor, weights over memory bandwidth.
 */
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultModelFolder } from '../src/config.ts';
import { GREEDY } from '../src/decoding/sampling-params.ts';
import { readManifest } from '../src/model/manifest.ts';
import { OnnxGraph } from '../src/model/onnx-graph.ts';
import { OnnxKvCachePool } from '../src/model/onnx-kv-cache.ts';
import { OnnxMtpModule } from '../src/model/onnx-mtp-module.ts';
import { OnnxTargetModel } from '../src/model/onnx-target-model.ts';
import { openSession } from '../src/model/session.ts';
import type { KvCache } from '../src/model/target-model.ts';
import { runProfile, splitRuns, withProfileFolder, type RunProfile } from './bench/kernel-profile.ts';
import { openEngine } from './bench/open-engine.ts';
import { prompts } from './bench/prompts.ts';
import { runRequest } from './bench/run-request.ts';

const PAST = 256;
const MAX_WIDTH = 8;
const MTP_THREADS = 1;

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '1' },
    runs: { type: 'string', default: '150' },
    tokens: { type: 'string', default: '128' },
    temperature: { type: 'string', default: '0' },
    out: { type: 'string', default: 'docs/results/profile.json' },
  },
});
const folder = values.model ?? defaultModelFolder();
const numRuns = Number(values.runs);
const manifest = await readManifest(folder);
const { mtp: mtpConfig, hiddenSize, vocabSize, contextLength } = manifest;
if (mtpConfig === null) throw new Error(`${folder}: expected a model with an MTP module`);

type Step = (cache: KvCache) => Promise<unknown>;

async function targetSteps(options: { enableProfiling?: boolean; profileFilePrefix?: string }) {
  const path = join(folder, manifest.target.filename);
  const session = await openSession(path, { numThreads: Number(values.threads) }, options);
  const graph = new OnnxGraph(session, manifest.target, MAX_WIDTH);
  const target = new OnnxTargetModel(graph, manifest, MAX_WIDTH);
  const steps = Array.from({ length: MAX_WIDTH }, (_, index): [string, Step] => [
    `target, ${index + 1} wide`,
    async (cache) => target.forwardAtWidth(cache, Array<number>(index + 1).fill(7)),
  ]);
  return { steps, close: async () => target.close(), end: () => session.endProfiling() };
}

async function mtpSteps(options: { enableProfiling?: boolean; profileFilePrefix?: string }) {
  const session = await openSession(join(folder, mtpConfig!.filename), { numThreads: MTP_THREADS }, options);
  const graph = new OnnxGraph(session, mtpConfig!, MAX_WIDTH);
  const module = new OnnxMtpModule(graph, mtpConfig!, vocabSize, hiddenSize, MAX_WIDTH);
  const steps = [1, 3].map((width): [string, Step] => {
    const states = new Float32Array(width * hiddenSize).fill(0.1);
    return [
      `MTP module, ${width} wide`,
      async (cache) => module.forward(cache, Array<number>(width).fill(7), states),
    ];
  });
  return { steps, close: async () => module.close(), end: () => session.endProfiling() };
}

/** All steps in turn, `numRuns` times; seconds by step, [steps][runs]. */
async function time(steps: readonly [string, Step][], cache: KvCache): Promise<number[][]> {
  const seconds = steps.map((): number[] => []);
  for (let run = 0; run < numRuns; run += 1) {
    for (const [index, [, step]] of steps.entries()) {
      cache.pretendLength(PAST);
      const start = performance.now();
      await step(cache);
      seconds[index]!.push((performance.now() - start) / 1000);
    }
  }
  return seconds;
}

async function profile(open: typeof targetSteps, pool: OnnxKvCachePool): Promise<[string, RunProfile][]> {
  const cache = pool.take(PAST + MAX_WIDTH);
  const plain = await open({});
  await time(plain.steps, cache);
  const wall = await time(plain.steps, cache);
  await plain.close();
  const { result: profiled, events } = await withProfileFolder(async (profileFilePrefix) => {
    const { steps, close, end } = await open({ enableProfiling: true, profileFilePrefix });
    const seconds = await time(steps, cache);
    end();
    await close();
    return seconds;
  });
  const runs = splitRuns(events);
  return plain.steps.map(([name], index) => [
    name,
    runProfile(
      runs.filter((_, run) => run % plain.steps.length === index),
      wall[index]!,
      profiled[index]!,
    ),
  ]);
}

/** Bytes a second that a copy reads and writes. */
function copyBandwidth(): number {
  const from = new Float64Array(2 ** 25).fill(1);
  const to = new Float64Array(from.length);
  to.set(from);
  const seconds = Array.from({ length: 5 }, () => {
    const start = performance.now();
    to.set(from);
    return (performance.now() - start) / 1000;
  });
  return (2 * from.byteLength) / Math.min(...seconds);
}

const forwards = [
  ...(await profile(targetSteps, new OnnxKvCachePool(manifest.target, contextLength))),
  ...(await profile(mtpSteps, new OnnxKvCachePool(mtpConfig, contextLength))),
];
const ms = (seconds: number): string => (seconds * 1000).toFixed(3);
console.log(`\nforwards behind ${PAST} positions, medians of ${numRuns} runs in turn, ms`);
console.table(
  Object.fromEntries(
    forwards.map(([name, { wallSeconds, kernelSeconds, executorSeconds, callSeconds, byOperator }]) => [
      name,
      {
        wall: ms(wallSeconds),
        kernels: ms(kernelSeconds),
        executor: ms(executorSeconds),
        call: ms(callSeconds),
        costliest: Object.entries(byOperator)
          .slice(0, 3)
          .map(([operator, seconds]) => `${operator} ${ms(seconds)}`)
          .join(', '),
      },
    ]),
  ),
);

const engine = await openEngine(folder, Number(values.threads));
const speculation = {
  maxDraftTokens: engine.model.numSpecTokens,
  adaptive: true,
  measureBaseline: false,
};
const totals = { rounds: 0, draft: 0, verify: 0, sample: 0, rest: 0, decode: 0 };
for (const { text } of [prompts[0]!, ...prompts]) {
  const { report } = await runRequest(engine, {
    prompt: text,
    numTokens: Number(values.tokens),
    sampling: { ...GREEDY, temperature: Number(values.temperature), seed: 1 },
    speculation,
  });
  const { draftSeconds, verifySeconds, sampleSeconds, decodeSeconds } = report.timings;
  totals.rounds += report.numCompletionTokens - 1 - report.speculation.numAcceptedDraftTokens;
  totals.draft += draftSeconds;
  totals.verify += verifySeconds;
  totals.sample += sampleSeconds;
  totals.decode += decodeSeconds;
  totals.rest += decodeSeconds - draftSeconds - verifySeconds - sampleSeconds;
}
await engine.close();
const parts = (['draft', 'verify', 'sample', 'rest'] as const).map((name) => ({
  part: name,
  ms_per_round: (totals[name] / totals.rounds) * 1000,
  share: totals[name] / totals.decode,
}));
console.log(`\nrounds of the engine, temperature ${values.temperature}, ${totals.rounds} rounds`);
console.table(
  parts.map(({ part, ms_per_round, share }) => ({
    part,
    ms: ms_per_round.toFixed(3),
    share: share.toFixed(3),
  })),
);

const weightBytes = (await stat(join(folder, 'model.onnx.data'))).size;
const bandwidth = copyBandwidth();
const plain = forwards[0]![1].wallSeconds;
console.log(
  `\nfloor: ${(weightBytes / 1e6).toFixed(1)} MB of weights at ${(bandwidth / 1e9).toFixed(1)} GB/s are ` +
    `${ms(weightBytes / bandwidth)} ms; a plain step takes ${(plain / (weightBytes / bandwidth)).toFixed(1)} times that`,
);

const record = {
  date: new Date().toISOString().slice(0, 10),
  model: manifest.id,
  machine: `${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores`,
  past: PAST,
  forwards: Object.fromEntries(forwards),
  temperature: Number(values.temperature),
  numRounds: totals.rounds,
  parts,
  weightBytes,
  bandwidth,
};
await mkdir(dirname(resolve(values.out)), { recursive: true });
await writeFile(resolve(values.out), `${JSON.stringify(record, null, 2)}\n`);
