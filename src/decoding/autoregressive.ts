/**
 * The plain step: one token wide, the fastest way to decode without speculation, and therefore the baseline of every
 * speedup. Where a single row rounds otherwise than several (ExactWidths), its text is measured against, never served.
 */
import type { KvCache, TargetModel } from '../model/target-model.ts';
import { secondsSince } from './decoding-state.ts';
import type { Sampler } from './sampler.ts';

/** Decodes one token: appends `tokenId` to the cache and chooses its successor. */
export async function plainStep(
  target: TargetModel,
  cache: KvCache,
  sampler: Sampler,
  tokenId: number,
): Promise<{ readonly tokenId: number; readonly seconds: number }> {
  const start = performance.now();
  const { logits } = await target.forwardAtWidth(cache, [tokenId]);
  const chosen = sampler.choose(logits, cache.length);
  sampler.push(chosen);
  return { tokenId: chosen, seconds: secondsSince(start) };
}
