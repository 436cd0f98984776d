import type { SequenceKv } from '../../src/engine/sequence-kv.ts';
import { ScriptedCache } from './scripted-model.ts';

/** A sequence whose caches hold the first tokens of it: by default all but the last, in both. */
export function sequenceKv(
  tokenIds: readonly number[],
  numHeld = tokenIds.length - 1,
  numMtpHeld: number | null = numHeld,
): SequenceKv {
  const target = new ScriptedCache(64);
  target.append(tokenIds.slice(0, numHeld));
  const mtp = new ScriptedCache(64);
  mtp.append(tokenIds.slice(1, 1 + (numMtpHeld ?? 0)));
  return {
    target,
    mtp: numMtpHeld === null ? null : mtp,
    tokenIds: [...tokenIds],
    earlierText: [],
    numBytes: 64,
    isShared: true,
  };
}
