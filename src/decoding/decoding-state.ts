/** What decoding carries from round to round for one sequence. */
import type { KvCache, TargetModel } from '../model/target-model.ts';
import type { Drafter } from './drafter.ts';
import type { Sampler } from './sampler.ts';

/** Seconds, from any beginning, that the sequence has had of the machine; what others share is counted in part. */
export interface Clock {
  readonly seconds: number;
}

export interface DecodingState {
  readonly clock: Clock;
  readonly target: TargetModel;
  readonly cache: KvCache;
  readonly sampler: Sampler;
  /** Null decodes without speculation. */
  readonly drafter: Drafter | null;
  /** The latest decided token, predicted for position cache.length and not yet cached; UNDECIDED before prefill's end. */
  nextTokenId: number;
}

export const UNDECIDED = -1;

export const secondsSince = (startMs: number): number => (performance.now() - startMs) / 1000;
