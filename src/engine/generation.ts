/**
 * What passes between whoever asks for text and the engine: request, events, report.
 * Knows nothing of HTTP, of ONNX, or of the thread that does the work.
 */
import type { SamplingParams } from '../decoding/sampling-params.ts';
import type { EngineLoad, FinishReason } from '../metrics/engine-observer.ts';
import type { GenerationReport } from '../metrics/generation-report.ts';

/** How a request wants to be speculated upon. */
export interface SpeculationSettings {
  /** Most drafts a round may verify; 0 decodes without speculation. */
  readonly maxDraftTokens: number;
  /** Whether each round chooses its depth, up to the maximum, by measured cost; else the depth is fixed. */
  readonly adaptive: boolean;
  /** Whether to replay the request without speculation afterwards, to measure the speedup. */
  readonly measureBaseline: boolean;
}

export interface GenerationRequest {
  /** Text, or token ids in [0, vocabSize). */
  readonly prompt: string | readonly number[];
  /** Text after the gap to be filled; needs a model with fill-in-the-middle tokens. */
  readonly suffix?: string;
  /** At least 1; prompt plus maxTokens must fit the context window and the KV cache. Absent: as many as fit. */
  readonly maxTokens?: number;
  readonly sampling: SamplingParams;
  /** Generation ends before the first of these; none is part of the text. */
  readonly stop: readonly string[];
  readonly ignoreEos: boolean;
  /** Number of alternatives to report per token, 0 for the token's own log probability alone; absent for none. */
  readonly logprobs?: number;
  /** Whether to report the prompt's tokens (with log probabilities, if asked for) before generating. */
  readonly echo: boolean;
  /**
   * Whether the last tokens of a prompt that is text may give way to one that begins with their text, where the model
   * prefers it; not with `logprobs`. The completion is what comes behind the prompt's text. Absent: true.
   */
  readonly tokenHealing?: boolean;
  /** Whether to reuse the KV of earlier prompts that begin alike, and to keep this one's. Absent: true. */
  readonly cachePrompt?: boolean;
  /**
   * Whether nobody reads events before the last one: they then come together at the end, and until then the death of
   * the engine's worker costs the request nothing but time.
   */
  readonly isWhole?: boolean;
  /** Absent: the server's default. */
  readonly speculation?: SpeculationSettings;
}

export interface TokenLogprob {
  readonly tokenId: number;
  readonly text: string;
  /** Natural logarithm of the target's probability at temperature 1, before truncation and penalties. */
  readonly logprob: number;
}

/** One token that the target model decided on. */
export interface GeneratedToken {
  readonly tokenId: number;
  /** The token's own text; bytes that are no whole character show as U+FFFD. */
  readonly text: string;
  /** Whether it was an accepted draft or the target's own (recovered, bonus or plain) token. */
  readonly source: 'draft' | 'target';
  /** Present if log probabilities were asked for; null for the first token of a prompt. */
  readonly logprob?: number | null;
  /** Most probable first. */
  readonly topLogprobs?: readonly TokenLogprob[];
}

export type GenerationEvent =
  /** Only with `echo`: the whole prompt, first of all events. Its tokens' `source` is 'target'. */
  | { readonly type: 'prompt-evaluated'; readonly text: string; readonly tokens: readonly GeneratedToken[] }
  /**
   * The tokens of one or more rounds. `text` is what became visible: it may be empty (an unfinished character, a possible
   * stop string held back) and all `text`s together are the whole completion.
   */
  | { readonly type: 'tokens-generated'; readonly text: string; readonly tokens: readonly GeneratedToken[] }
  /** Exactly once, last, unless the iteration throws or is aborted. */
  | {
      readonly type: 'generation-finished';
      readonly reason: FinishReason;
      readonly report: GenerationReport;
    };

/** What `/v1/models` and the checks of a request need to know of the loaded model. */
export interface ModelDescription {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly vocabSize: number;
  /** Context window: prompt plus completion, in tokens. */
  readonly maxModelLength: number;
  readonly supportsSuffix: boolean;
  readonly hasChatTemplate: boolean;
  /** Default and largest number of drafts a round. */
  readonly numSpecTokens: number;
  readonly maxSpecTokens: number;
}

/** 'loading' again while a new worker takes a dead one's place; 'failed' for good. */
export type EngineState = 'loading' | 'ready' | 'failed' | 'closed';

export interface Engine {
  readonly state: EngineState;
  /** Throws ForetokenError `model_loading` before the state was ever 'ready'. */
  readonly model: ModelDescription;
  load(): EngineLoad;
  /**
   * Validates against the model and admits the request, or throws ForetokenError (`context_length_exceeded`,
   * `kv_cache_exceeded`, `suffix_not_supported`, `invalid_request`, `queue_full`, `model_loading`, `engine_failed`)
   * before any work.
   * The iteration ends early, without an error, once `signal` is aborted; returning early aborts as well.
   */
  generate(request: GenerationRequest, signal?: AbortSignal): AsyncIterable<GenerationEvent>;
  /** Ends every request with an error and frees the model. */
  close(): Promise<void>;
}
