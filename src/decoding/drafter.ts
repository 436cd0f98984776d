/** Guesses the next tokens of one sequence. Whatever it guesses, the text stays the same. */
export interface Drafter {
  /**
   * Learns of verified tokens. hiddenStates: [tokenIds.length, hiddenSize], the target's state at each token's
   * predecessor, copied if it is needed later.
   */
  observe(tokenIds: readonly number[], hiddenStates: Float32Array): Promise<void>;
  /** Puts into its cache what it has only kept back, but for the latest `numKept`: a draft needs one. */
  flush(numKept?: number): Promise<void>;
  /**
   * Guesses for the tokens after the last observed one, at least one, as long as `wantsAnother` and there is room.
   * `choose` turns the logits [vocabSize] of draft number `index` into a token.
   */
  draft(
    wantsAnother: () => boolean,
    choose: (logits: Float32Array, index: number) => number,
  ): Promise<number[]>;
}
