/** How many tokens a round drafts, decided draft by draft. Knows nothing of where drafts come from. */
import type { LookedUp } from './prompt-lookup.ts';

export interface DraftPlan {
  /** Drafts that are already there, to verify all of them; where there are any, no others are made. */
  readonly ready: readonly number[];
  /** Of the match that `ready` was found behind (LookedUp), 0 where there is none. */
  readonly matchLength: number;
  /** Whether that match is in an earlier text. */
  readonly isEarlier: boolean;
  /**
   * Whether to draft once more. margins: of the drafts so far, how far each led over the next best token, in nats
   * (Sampler.margin).
   */
  readonly wantsAnother: (margins: readonly number[]) => boolean;
  /** How many of these drafts, counted from the first, to verify. */
  readonly numToVerify: (margins: readonly number[]) => number;
}

export const fixedDepth = (numDraftTokens: number): DraftPlan => ({
  ready: [],
  matchLength: 0,
  isEarlier: false,
  wantsAnother: (margins) => margins.length < numDraftTokens,
  numToVerify: (margins) => margins.length,
});

/** Verifies the first of what was looked up. */
export const lookedUpDrafts = (found: LookedUp, numDraftTokens: number): DraftPlan => ({
  ready: found.tokenIds.slice(0, numDraftTokens),
  matchLength: found.matchLength,
  isEarlier: found.isEarlier,
  wantsAnother: () => false,
  numToVerify: () => 0,
});

export const noDrafts: DraftPlan = fixedDepth(0);
