/** How the next token is chosen from the target's logits. */
export interface SamplingParams {
  /** 0 is greedy; else at most 2. */
  readonly temperature: number;
  /** Nucleus: (0, 1], 1 is off. */
  readonly topP: number;
  /** 0 is off. */
  readonly topK: number;
  /** Least probability relative to the most probable token: [0, 1], 0 is off. */
  readonly minP: number;
  /** [-2, 2], over the generated tokens. */
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  /** (0, 2], over prompt and generated tokens, 1 is off. */
  readonly repetitionPenalty: number;
  /** Added to the logits: token id to [-100, 100]. */
  readonly logitBias: ReadonlyMap<number, number>;
  /** Unsigned 32-bit. The same seed gives the same text, whatever the speculation. */
  readonly seed: number;
}

/** The most probable token, nothing else set. */
export const GREEDY: SamplingParams = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  logitBias: new Map(),
  seed: 0,
};
