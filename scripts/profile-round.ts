/**
 * `npm run profile`: where a round's time goes. Every kind of forward by call, kernels and executor; then rounds of the
 * served engine by drafting, verifying, sampling and the rest, and how much of them is calls; and the floor, weights over
 * memory bandwidth.
 */
import type { InferenceSession } from 'onnxruntime-node';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultModelFolder } from '../src/config.ts';
import { GREEDY } from '../src/decoding/sampling-params.ts';
import { numCachesOf } from '../src/model/kv-capacity.ts';
import { readManifest, type GraphConfig } from '../src/model/manifest.ts';
import { OnnxGraph } from '../src/model/onnx-graph.ts';
import { OnnxKvCachePool } from '../src/model/onnx-kv-cache.ts';
import { OnnxMtpModule } from '../src/model/onnx-mtp-module.ts';
import { OnnxTargetModel } from '../src/model/onnx-target-model.ts';
import { openSession } from '../src/model/session.ts';
import type { KvCache } from '../src/model/target-model.ts';
import { emptyGraph } from './bench/empty-graph.ts';
import {
  readTrace,
  runProfile,
  splitRuns,
  withTemporaryFolder,
  type RunProfile,
} from './bench/kernel-profile.ts';
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

interface Opened {
  readonly session: InferenceSession;
  readonly steps: readonly (readonly [name: string, step: Step])[];
}

type Open = (path: string, options?: InferenceSession.SessionOptions) => Promise<Opened>;

const openTarget: Open = async (path, options) => {
  const session = await openSession(path, { numThreads: Number(values.threads) }, options);
  const graph = new OnnxGraph(session, manifest.target, MAX_WIDTH);
  const target = new OnnxTargetModel(graph, manifest, MAX_WIDTH);
  const steps = Array.from({ length: MAX_WIDTH }, (_, index): [string, Step] => [
    `target, ${index + 1} wide`,
    async (cache) => target.forwardAtWidth(cache, Array<number>(index + 1).fill(7)),
  ]);
  return { session, steps };
};

const openMtp: Open = async (path, options) => {
  const session = await openSession(path, { numThreads: MTP_THREADS }, options);
  const graph = new OnnxGraph(session, mtpConfig, MAX_WIDTH);
  const module = new OnnxMtpModule(graph, mtpConfig, vocabSize, hiddenSize, MAX_WIDTH);
  const steps = [1, 3].map((width): [string, Step] => {
    const states = new Float32Array(width * hiddenSize).fill(0.1);
    return [
      `MTP module, ${width} wide`,
      async (cache) => module.forward(cache, Array<number>(width).fill(7), states),
    ];
  });
  return { session, steps };
};

/** Which past a present is, by names. */
function pastOf(config: GraphConfig): Map<string, string> {
  const { inputs, outputs } = config;
  const patterns = [
    [outputs.present_key_names, inputs.past_key_names],
    [outputs.present_value_names, inputs.past_value_names],
  ] as const;
  const caches = Array.from({ length: numCachesOf(config) }, (_, cache) => String(cache));
  return new Map(
    patterns.flatMap(([present, past]) =>
      caches.map((cache): [string, string] => [present.replace('%d', cache), past.replace('%d', cache)]),
    ),
  );
}

/** All steps in turn, `numRuns` times; seconds by step, [steps][runs]. */
async function time(steps: Opened['steps'], cache: KvCache): Promise<number[][]> {
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

async function profile(open: Open, config: GraphConfig): Promise<[string, RunProfile][]> {
  const cache = new OnnxKvCachePool(config, contextLength).take(PAST + MAX_WIDTH);
  return withTemporaryFolder(async (temporary) => {
    const path = join(folder, config.filename);
    const { session, steps } = await open(path);
    const emptyPath = join(temporary, 'empty.onnx');
    await writeFile(emptyPath, emptyGraph(session.inputMetadata, session.outputMetadata, pastOf(config)));
    const empty = await open(emptyPath);
    // Right behind a forward, as calls are.
    const inTurn = [...steps, empty.steps[0]!];
    await time(inTurn, cache);
    const wall = await time(inTurn, cache);
    await Promise.all([session.release(), empty.session.release()]);

    const profiled = await open(path, { enableProfiling: true, profileFilePrefix: join(temporary, 'trace') });
    await time(profiled.steps, cache);
    profiled.session.endProfiling();
    await profiled.session.release();
    const runs = splitRuns(await readTrace(temporary, 'trace'));
    return steps.map(([name], index) => [
      name,
      runProfile(
        runs.filter((_, run) => run % steps.length === index),
        wall[index]!,
        wall.at(-1)!,
      ),
    ]);
  });
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

const targetForwards = await profile(openTarget, manifest.target);
const mtpForwards = await profile(openMtp, mtpConfig);
const forwards = [...targetForwards, ...mtpForwards];
const ms = (seconds: number): string => (seconds * 1000).toFixed(3);
console.log(`\nforwards behind ${PAST} positions, medians of ${numRuns} runs in turn, ms`);
console.table(
  Object.fromEntries(
    forwards.map(([name, { wallSeconds, callSeconds, kernelSeconds, executorSeconds, byOperator }]) => [
      name,
      {
        wall: ms(wallSeconds),
        'of which call': ms(callSeconds),
        'profiled: kernels': ms(kernelSeconds),
        'profiled: executor': ms(executorSeconds),
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
const totals = { rounds: 0, drafts: 0, draft: 0, verify: 0, sample: 0, rest: 0, decode: 0 };
for (const { text } of [prompts[0]!, ...prompts]) {
  const { report } = await runRequest(engine, {
    prompt: text,
    numTokens: Number(values.tokens),
    sampling: { ...GREEDY, temperature: Number(values.temperature), seed: 1 },
    speculation,
  });
  const { draftSeconds, verifySeconds, sampleSeconds, decodeSeconds } = report.timings;
  const { numDraftTokens, numAcceptedDraftTokens, promptLookup } = report.speculation;
  totals.rounds += report.numCompletionTokens - 1 - numAcceptedDraftTokens;
  totals.drafts += numDraftTokens - promptLookup.numDraftTokens;
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
const callSeconds =
  totals.rounds * targetForwards[0]![1].callSeconds + totals.drafts * mtpForwards[0]![1].callSeconds;
const calls = {
  verifies_per_round: 1,
  drafts_per_round: totals.drafts / totals.rounds,
  ms_per_round: (callSeconds / totals.rounds) * 1000,
  share: callSeconds / totals.decode,
};
const overhead = (callSeconds + totals.sample + totals.rest) / totals.decode;
console.log(`\nrounds of the engine, temperature ${values.temperature}, ${totals.rounds} rounds`);
console.table(
  parts.map(({ part, ms_per_round, share }) => ({
    part,
    ms: ms_per_round.toFixed(3),
    share: share.toFixed(3),
  })),
);

console.log(
  `calls of a round's verify and ${calls.drafts_per_round.toFixed(2)} drafts: ${calls.ms_per_round.toFixed(3)} ms, ` +
    `${calls.share.toFixed(3)} of it; with sampling and the rest ${overhead.toFixed(3)}`,
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
  calls,
  overhead,
  weightBytes,
  bandwidth,
};
await mkdir(dirname(resolve(values.out)), { recursive: true });
await writeFile(resolve(values.out), `${JSON.stringify(record, null, 2)}\n`);
