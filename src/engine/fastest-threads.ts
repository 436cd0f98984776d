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

/** More threads than this only wait for each other on models of the size that runs on a CPU. */
const MAX_THREADS = 8;
/** Beyond so many bytes of weights no processor's cache holds them, and all threads are taken untimed. */
const MAX_TIMED_BYTES = 256 * 1024 * 1024;
const CONTEXT_LENGTH = 256;
/** Of the forwards that are timed: a plain step, and a verify of three drafts. */
const WIDTHS = [1, 4];
const ROUNDS = 8;
const STEPS_PER_ROUND = 5;
/** More threads must be so much faster, as each takes the core of another worker. */
const MIN_GAIN = 1.3;

export interface ThreadedTarget {
  readonly target: OnnxTargetModel;
  readonly numThreads: number;
}

/** Throws ForetokenError `invalid_model`. */
export async function loadFastestTarget(manifest: ModelManifest, maxWidth: number): Promise<ThreadedTarget> {
  const most = Math.min(availableParallelism(), MAX_THREADS);
  const load = async (numThreads: number): Promise<ThreadedTarget> => ({
    target: await loadTargetModel(manifest, maxWidth, { numThreads }),
    numThreads,
  });
  if (most === 1 || (await weightBytes(manifest)) > MAX_TIMED_BYTES) return load(most);
  const candidates: ThreadedTarget[] = [];
  for (let numThreads = 1; numThreads < most; numThreads *= 2) candidates.push(await load(numThreads));
  candidates.push(await load(most));
  const chosen = fastest(candidates, await time(candidates, manifest));
  for (const candidate of candidates) if (candidate !== chosen) await candidate.target.close();
  return chosen;
}

/** The first candidate that no later one beats by MIN_GAIN. seconds: [candidates.length]. */
export function fastest<Candidate>(candidates: readonly Candidate[], seconds: readonly number[]): Candidate {
  let best = 0;
  for (const index of candidates.keys()) if (seconds[index]! * MIN_GAIN < seconds[best]!) best = index;
  return candidates[best]!;
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
