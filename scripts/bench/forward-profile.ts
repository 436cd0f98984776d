/** Times every kind of forward behind a fixed context: by itself, its call, and its kernels under the profiler. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { numCachesOf } from '../../src/model/kv-capacity.ts';
import type { GraphConfig, ModelManifest } from '../../src/model/manifest.ts';
import { OnnxGraph } from '../../src/model/onnx-graph.ts';
import { OnnxKvCachePool } from '../../src/model/onnx-kv-cache.ts';
import type { NativeSession } from '../../src/model/native-session.ts';
import { NUM_MTP_THREADS, OnnxMtpModule } from '../../src/model/onnx-mtp-module.ts';
import { OnnxTargetModel } from '../../src/model/onnx-target-model.ts';
import { openSession } from '../../src/model/session.ts';
import type { KvCache } from '../../src/model/target-model.ts';
import { emptyGraph } from './empty-graph.ts';
import { readTrace, runProfile, splitRuns, withTemporaryFolder, type RunProfile } from './kernel-profile.ts';

/** Cached positions that the forwards are behind. */
export const PAST = 256;
const MAX_WIDTH = 8;

type MtpConfig = NonNullable<ModelManifest['mtp']>;

type Step = (cache: KvCache) => Promise<unknown>;

interface Opened {
  readonly session: NativeSession;
  readonly steps: readonly (readonly [name: string, step: Step])[];
}

type Open = (path: string, profilePrefix?: string) => Opened;

const openTarget =
  (manifest: ModelManifest, numThreads: number): Open =>
  (path, profilePrefix) => {
    const session = openSession(path, { numThreads, profilePrefix });
    const graph = new OnnxGraph(session, manifest.target, MAX_WIDTH);
    const target = new OnnxTargetModel(graph, manifest, MAX_WIDTH);
    const steps = Array.from({ length: MAX_WIDTH }, (_, index): [string, Step] => [
      `target, ${index + 1} wide`,
      async (cache) => target.forwardAtWidth(cache, Array<number>(index + 1).fill(7)),
    ]);
    return { session, steps };
  };

const openMtp =
  ({ hiddenSize, vocabSize }: ModelManifest, config: MtpConfig): Open =>
  (path, profilePrefix) => {
    const session = openSession(path, { numThreads: NUM_MTP_THREADS, profilePrefix });
    const graph = new OnnxGraph(session, config, MAX_WIDTH);
    const module = new OnnxMtpModule(graph, config, vocabSize, hiddenSize, MAX_WIDTH);
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
async function time(steps: Opened['steps'], cache: KvCache, numRuns: number): Promise<number[][]> {
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

async function profile(
  open: Open,
  { folder, contextLength }: ModelManifest,
  config: GraphConfig,
  numRuns: number,
): Promise<[string, RunProfile][]> {
  const cache = new OnnxKvCachePool(config, contextLength).take(PAST + MAX_WIDTH);
  return withTemporaryFolder(async (temporary) => {
    const path = join(folder, config.filename);
    const { session, steps } = open(path);
    const emptyPath = join(temporary, 'empty.onnx');
    await writeFile(emptyPath, emptyGraph(session.inputMetadata, session.outputMetadata, pastOf(config)));
    const empty = open(emptyPath);
    // Right behind a forward, as calls are.
    const inTurn = [...steps, empty.steps[0]!];
    await time(inTurn, cache, numRuns);
    const wall = await time(inTurn, cache, numRuns);
    session.release();
    empty.session.release();

    const profiled = open(path, join(temporary, 'trace'));
    await time(profiled.steps, cache, numRuns);
    profiled.session.endProfiling();
    profiled.session.release();
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

/** The target's forwards by width and the MTP module's, each with its name. */
export async function profileForwards(
  manifest: ModelManifest,
  mtp: MtpConfig,
  numThreads: number,
  numRuns: number,
): Promise<{ readonly target: [string, RunProfile][]; readonly mtp: [string, RunProfile][] }> {
  return {
    target: await profile(openTarget(manifest, numThreads), manifest, manifest.target, numRuns),
    mtp: await profile(openMtp(manifest, mtp), manifest, mtp, numRuns),
  };
}
