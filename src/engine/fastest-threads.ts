/**
 * How many threads decode fastest here. A step of a small model is over before several threads have met: one is often
 * as fast as two, and leaves the other core to the rest. Large models wait for memory and gain from every thread.
 */
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { median } from '../decoding/robust-statistics.ts';
import type { ModelManifest } from '../model/manifest.ts';
import { OnnxKvCachePool } from '../model/onnx-kv-cache.ts';
import { loadTargetModel, type OnnxTargetModel } from '../model/onnx-target-model.ts';
import type { SessionSettings } from '../model/session.ts';
import type { SharedWeights } from '../model/shared-weights.ts';

/** More threads than this only wait for each other on models of the size that runs on a CPU. */
const MAX_THREADS = 8;
/** Beyond so many bytes of weights no processor's cache holds them, and all threads are taken untimed. */
const MAX_TIMED_BYTES = 256 * 1024 * 1024;
const CONTEXT_LENGTH = 256;
/** Of the forwards that are timed: a plain step, and a verify of three drafts. */
const WIDTHS = [1, 4];
const ROUNDS = 8;
const STEPS_PER_ROUND = 5;
/** More threads must be so much faster where each takes the core of another worker, */
const MIN_GAIN = 1.3;
/** and so much where the others have nothing to do. */
const MIN_SOLO_GAIN = 1.05;

export interface ThreadedTarget {
  readonly target: OnnxTargetModel;
  readonly numThreads: number;
}

/** The same weights for two states of the machine. */
export interface ThreadedTargets {
  /** While all workers have something to do. */
  readonly shared: ThreadedTarget;
  /** While one alone has; null where that is no faster with more threads, or no other is there. */
  readonly solo: ThreadedTarget | null;
}

/** Throws ForetokenError `invalid_model`. */
export async function loadThreadedTarget(
  manifest: ModelManifest,
  maxWidth: number,
  settings: SessionSettings,
): Promise<ThreadedTarget> {
  const target = await loadTargetModel(manifest, maxWidth, settings);
  return { target, numThreads: settings.numThreads };
}

/** `hasNeighbours`: whether there are other workers, whose cores threads would take. Throws ForetokenError `invalid_model`. */
export async function loadFastestTargets(
  manifest: ModelManifest,
  maxWidth: number,
  hasNeighbours: boolean,
  weights: SharedWeights | undefined,
): Promise<ThreadedTargets> {
  const most = Math.min(availableParallelism(), MAX_THREADS);
  const load = async (numThreads: number): Promise<ThreadedTarget> =>
    loadThreadedTarget(manifest, maxWidth, { numThreads, weights });
  if (most === 1 || (await weightBytes(manifest)) > MAX_TIMED_BYTES)
    return { shared: await load(most), solo: null };
  const candidates: ThreadedTarget[] = [];
  for (let numThreads = 1; numThreads < most; numThreads *= 2) candidates.push(await load(numThreads));
  candidates.push(await load(most));
  const { shared, solo } = fastest(candidates, await time(candidates, manifest), hasNeighbours);
  for (const candidate of candidates)
    if (candidate !== shared && candidate !== solo) await candidate.target.close();
  return { shared, solo };
}

/**
 * `shared`: the first candidate that no later one beats by MIN_GAIN. `solo`: the one behind it that is fastest by
 * MIN_SOLO_GAIN, or null. Without neighbours the fastest by MIN_SOLO_GAIN is `shared`. seconds: [candidates.length].
 */
export function fastest<Candidate>(
  candidates: readonly Candidate[],
  seconds: readonly number[],
  hasNeighbours: boolean,
): { readonly shared: Candidate; readonly solo: Candidate | null } {
  const firstBeatenBy = (gain: number, from: number): number => {
    let best = from;
    for (let index = from; index < candidates.length; index += 1)
      if (seconds[index]! * gain < seconds[best]!) best = index;
    return best;
  };
  const shared = firstBeatenBy(hasNeighbours ? MIN_GAIN : MIN_SOLO_GAIN, 0);
  const solo = firstBeatenBy(MIN_SOLO_GAIN, shared);
  return { shared: candidates[shared]!, solo: solo === shared ? null : candidates[solo]! };
}

/** Median seconds of a step of each candidate, in turn, as the machine's speed drifts. */
async function time(candidates: readonly ThreadedTarget[], manifest: ModelManifest): Promise<number[]> {
  const pool = new OnnxKvCachePool(manifest.target, manifest.contextLength);
  const length = Math.min(CONTEXT_LENGTH, manifest.contextLength >> 1);
  const cache = pool.take(length + Math.max(...WIDTHS));
  const samples = candidates.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, { target }] of candidates.entries()) {
      const start = performance.now();
      for (let step = 0; step < STEPS_PER_ROUND; step += 1) {
        for (const width of WIDTHS) {
          cache.pretendLength(length);
          await target.forwardAtWidth(cache, Array<number>(width).fill(1));
        }
      }
      samples[index]!.push((performance.now() - start) / 1000);
    }
  }
  return samples.map(median);
}

/** Of the target's graph and the file of weights beside it, as exporters name it. */
async function weightBytes({ folder, target }: ModelManifest): Promise<number> {
  const sizes = [target.filename, `${target.filename}.data`].map(async (name) =>
    stat(join(folder, name)).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
