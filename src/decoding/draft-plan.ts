/** How many tokens a round drafts, decided draft by draft. Knows nothing of where drafts come from. */

export interface DraftPlan {
  /**
   * Whether to draft once more. margins: of the drafts so far, how far each led over the next best token, in nats
   * (Sampler.margin).
   */
  readonly wantsAnother: (margins: readonly number[]) => boolean;
  /** How many of these drafts, counted from the first, to verify. */
  readonly numToVerify: (margins: readonly number[]) => number;
}

export const fixedDepth = (numDraftTokens: number): DraftPlan => ({
  wantsAnother: (margins) => margins.length < numDraftTokens,
  numToVerify: (margins) => margins.length,
});

export const noDrafts: DraftPlan = fixedDepth(0);
