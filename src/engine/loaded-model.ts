/** A model folder, opened: target, MTP module and the caches of their sequences. */
import { exactWidths, isSharedPassExact, isSoloExact } from '../model/exactness.ts';
import { readManifest, type ModelManifest } from '../model/manifest.ts';
import { loadSharedModels } from '../model/onnx-shared-models.ts';
import { OnnxKvCachePool } from '../model/onnx-kv-cache.ts';
import { loadMtpModule, NUM_MTP_THREADS } from '../model/onnx-mtp-module.ts';
import type { OnnxTargetModel } from '../model/onnx-target-model.ts';
import type { SessionSettings } from '../model/session.ts';
import type { SharedWeights } from '../model/shared-weights.ts';
import {
  decidingWidth,
  type ExactWidths,
  type KvCachePool,
  type MtpModule,
  type SharedModels,
  type TargetModel,
} from '../model/target-model.ts';
import {
  loadFastestTargets,
  loadThreadedTarget,
  type ThreadedTarget,
  type ThreadedTargets,
} from './fastest-threads.ts';

/** Tokens of a prefill chunk: long enough to be efficient, short enough that others' turns come soon. */
const MAX_WIDTH = 64;
export interface LoadedModel {
  readonly manifest: ModelManifest;
  readonly target: TargetModel;
  readonly targetCaches: KvCachePool;
  readonly mtp: MtpModule | null;
  readonly mtpCaches: KvCachePool | null;
  /** Whether the text is independent of speculation on this machine (exactWidths). */
  readonly isExact: boolean;
  /** Of the target's forwards that decide tokens. */
  readonly widths: ExactWidths;
  /** For passes that several sequences share without a change to any bit; most sequences first. */
  readonly shared: readonly SharedModels[];
  /** Of a forward of the target. */
  readonly numThreads: number;
  /** The target for a sequence that has the machine to itself, the same to the bit; null: as above. */
  readonly solo: { readonly target: TargetModel; readonly numThreads: number } | null;
}

/** Threads of a forward: of all, and of one where no other worker has anything to do. */
export interface ThreadCounts {
  readonly numThreads: number;
  readonly numSoloThreads: number;
}

/**
 * `asked` null: as many threads as are fastest here, beside other workers if it `hasNeighbours`. Passes are shared by at
 * most `maxSharing` sequences. `weights` are those of the folder that other threads have too. Throws ForetokenError
 * `invalid_model`.
 */
export async function loadModel(
  modelFolder: string,
  asked: ThreadCounts | null,
  {
    maxSharing = 1,
    hasNeighbours = false,
    weights,
  }: { maxSharing?: number; hasNeighbours?: boolean; weights?: SharedWeights | undefined } = {},
): Promise<LoadedModel> {
  const manifest = await readManifest(modelFolder);
  const targets =
    asked === null
      ? await loadFastestTargets(manifest, MAX_WIDTH, hasNeighbours, weights)
      : await loadTargets(manifest, asked, weights);
  const { target, numThreads } = targets.shared;
  const targetCaches = new OnnxKvCachePool(manifest.target, manifest.contextLength);
  const found = await exactWidths(target, targetCaches, manifest.maxSpecTokens + 1);
  if (found !== null) target.widths = found;
  const solo = await exactSolo(targets, found, targetCaches);
  return {
    manifest,
    target,
    targetCaches,
    shared:
      found === null
        ? []
        : await loadShared(manifest, target, targetCaches, { numThreads, weights }, maxSharing),
    mtp: await loadMtpModule(manifest, MAX_WIDTH, { numThreads: NUM_MTP_THREADS, weights }),
    mtpCaches: manifest.mtp === null ? null : new OnnxKvCachePool(manifest.mtp, manifest.contextLength),
    isExact: found !== null,
    widths: target.widths,
    numThreads,
    solo,
  };
}

async function loadTargets(
  manifest: ModelManifest,
  { numThreads, numSoloThreads }: ThreadCounts,
  weights: SharedWeights | undefined,
): Promise<ThreadedTargets> {
  const load = async (count: number): Promise<ThreadedTarget> =>
    loadThreadedTarget(manifest, MAX_WIDTH, { numThreads: count, weights });
  const shared = await load(numThreads);
  return { shared, solo: numSoloThreads === numThreads ? null : await load(numSoloThreads) };
}

/** Null where it would give other bits: who else runs must not show in the text. */
async function exactSolo(
  { shared, solo }: ThreadedTargets,
  widths: ExactWidths | null,
  caches: KvCachePool,
): Promise<ThreadedTarget | null> {
  if (solo === null) return null;
  if (widths !== null) {
    solo.target.widths = widths;
    if (await isSoloExact(solo.target, shared.target, caches)) return solo;
  }
  await solo.target.close();
  return null;
}

async function loadShared(
  manifest: ModelManifest,
  target: OnnxTargetModel,
  caches: KvCachePool,
  settings: SessionSettings,
  maxSharing: number,
): Promise<SharedModels[]> {
  const maxWidth = decidingWidth(manifest.maxSpecTokens + 1, target.widths);
  const exact: SharedModels[] = [];
  for (const files of manifest.sharedPasses) {
    if (files.numSequences > maxSharing) continue;
    const models = await loadSharedModels(manifest, files, maxWidth, settings, target.widths);
    if (await isSharedPassExact(models.target, target, caches)) {
      exact.push(models);
    } else {
      await models.target.close();
      await models.mtp?.close();
    }
  }
  return exact;
}
