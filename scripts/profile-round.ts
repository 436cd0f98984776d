/**
 * `npm run profile`: where a round's time goes. Every kind of forward by call, kernels and executor; then rounds of the
 * served engine by drafting, verifying, sampling and the rest, and how much of them is calls; and the floor, weights over
 * memory bandwidth.
 */
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultModelFolder } from '../src/config.ts';
import { GREEDY } from '../src/decoding/sampling-params.ts';
import { readManifest } from '../src/model/manifest.ts';
import { PAST, profileForwards } from './bench/forward-profile.ts';
import { machineFacts } from './bench/machine-facts.ts';
import { openEngine } from './bench/open-engine.ts';
import { prompts } from './bench/prompts.ts';
import type { ProfileRecord } from './bench/profile-record.ts';
import { runRequest } from './bench/run-request.ts';

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
const { mtp: mtpConfig } = manifest;
if (mtpConfig === null) throw new Error(`${folder}: expected a model with an MTP module`);

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

const { target: targetForwards, mtp: mtpForwards } = await profileForwards(
  manifest,
  mtpConfig,
  Number(values.threads),
  numRuns,
);
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

const record: ProfileRecord & Record<string, unknown> = {
  ...machineFacts(),
  numThreads: Number(values.threads),
  model: manifest.id,
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
