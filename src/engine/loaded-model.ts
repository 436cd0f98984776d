/** A model folder, opened: target, MTP module and the caches of their sequences. */
import { exactWidthMultiple } from '../model/exactness.ts';
import { readManifest, type ModelManifest } from '../model/manifest.ts';
import { OnnxKvCachePool } from '../model/onnx-kv-cache.ts';
import { loadMtpModule } from '../model/onnx-mtp-module.ts';
import { loadTargetModel } from '../model/onnx-target-model.ts';
import type { KvCachePool, MtpModule, TargetModel } from '../model/target-model.ts';
import { loadFastestTarget } from './fastest-threads.ts';

/** Tokens of a prefill chunk: long enough to be efficient, short enough that others' turns come soon. */
const MAX_WIDTH = 64;
/**
 * The MTP module is small: on one thread it is about as fast as on several, and has no idle threads that could take
 * the target's cores.
 */
const NUM_MTP_THREADS = 1;

export interface LoadedModel {
  readonly manifest: ModelManifest;
  readonly target: TargetModel;
  readonly targetCaches: KvCachePool;
  readonly mtp: MtpModule | null;
  readonly mtpCaches: KvCachePool | null;
  /** Whether the text is independent of speculation on this machine (exactWidthMultiple). */
  readonly isExact: boolean;
  /** Of a forward of the target. */
  readonly numThreads: number;
}

/** `askedThreads` of a forward, 0 for as many as are fastest here. Throws ForetokenError `invalid_model`. */
export async function loadModel(modelFolder: string, askedThreads: number): Promise<LoadedModel> {
  const manifest = await readManifest(modelFolder);
  const { target, numThreads } =
    askedThreads === 0
      ? await loadFastestTarget(manifest, MAX_WIDTH)
      : {
          target: await loadTargetModel(manifest, MAX_WIDTH, { numThreads: askedThreads }),
          numThreads: askedThreads,
        };
  const targetCaches = new OnnxKvCachePool(manifest.target, manifest.contextLength);
  const widthMultiple = await exactWidthMultiple(target, targetCaches);
  target.widthMultiple = widthMultiple ?? 1;
  return {
    manifest,
    target,
    targetCaches,
    mtp: await loadMtpModule(manifest, MAX_WIDTH, { numThreads: NUM_MTP_THREADS }),
    mtpCaches: manifest.mtp === null ? null : new OnnxKvCachePool(manifest.mtp, manifest.contextLength),
    isExact: widthMultiple !== null,
    numThreads,
  };
}
