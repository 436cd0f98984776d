/**
 * The messages between the main thread and the engine worker, whose messages come several at a time. Token ids cross this
 * line, tensors never do.
 */
import type { SamplingParams } from '../decoding/sampling-params.ts';
import type { RankedToken } from '../decoding/logprobs.ts';
import type { MeasuredBySharing } from '../decoding/step-costs.ts';
import type { ErrorCode } from '../errors.ts';
import type { FimFormat } from '../model/manifest.ts';
import type { SharedWeights } from '../model/shared-weights.ts';
import type { ModelDescription } from './generation.ts';
import type { KvMemory } from './kv-memory.ts';
import type { OpenToken } from './open-end.ts';
import type { KvUsage } from './kv-store.ts';
import type { ThreadCounts } from './loaded-model.ts';
import type { FinishReason, RoundStats } from '../metrics/engine-observer.ts';

export interface WorkerOptions {
  readonly modelFolder: string;
  /** What all workers have in common of it. */
  readonly weights: SharedWeights;
  /** Threads of a forward; null chooses. */
  readonly threads: ThreadCounts | null;
  /** [workers]: how many requests each has, as the main thread keeps it; `index` is this one's place. */
  readonly load: Int32Array<SharedArrayBuffer>;
  readonly index: number;
  /** Workers that share the machine, this one among them; 0 chooses. */
  readonly numWorkers: number;
  /** Sequences that take turns, in all workers together. */
  readonly maxNumSeqs: number;
  /** KV memory of all workers together, in MiB; 0 chooses. */
  readonly kvCacheMib: number;
  /** What steps cost, as another worker measured it; absent: measured. */
  readonly measured?: MeasuredBySharing;
}

/** What the first worker finds out, for others to be started with. */
export interface WorkerTuning {
  /** As asked, or as many as were fastest. */
  readonly threads: ThreadCounts;
  /** As asked, or as many as have cores for their threads. */
  readonly numWorkers: number;
  readonly measured: MeasuredBySharing;
}

/** Generate a continuation. */
export interface GenerateJob {
  readonly kind: 'generate';
  readonly promptTokenIds: readonly number[];
  /** The last of them that may give way to others. */
  readonly openEnd: readonly OpenToken[];
  readonly maxTokens: number;
  readonly sampling: SamplingParams;
  readonly ignoreEos: boolean;
  /** Alternatives to report per token; null for no log probabilities at all. */
  readonly numTopLogprobs: number | null;
  /** Whether the prompt's own tokens get log probabilities too. */
  readonly promptLogprobs: boolean;
  readonly maxDraftTokens: number;
  readonly adaptive: boolean;
  /** Whether to begin with KV that other sequences have, and to keep this one's for later ones. */
  readonly cachePrompt: boolean;
  /** Whether its rounds may share passes with those of other requests. */
  readonly sharesPasses: boolean;
  /** Whether its tokens may be sent together with later ones (Outbox): nobody looks for stop strings in them. */
  readonly tokensMayWait: boolean;
}

/** Log probabilities of a prompt need all of its logits, and so all of it computed anew. */
export function mayReuse(job: GenerateJob): boolean {
  return job.cachePrompt && !job.promptLogprobs;
}

/** Decode the same tokens again without speculation: once as served, for the ids, once plainly, for the time. */
export interface ReplayJob {
  readonly kind: 'replay';
  readonly promptTokenIds: readonly number[];
  readonly openEnd: readonly OpenToken[];
  readonly numTokens: number;
  readonly sampling: SamplingParams;
}

export type Job = GenerateJob | ReplayJob;

export type MainMessage =
  | { readonly type: 'request-add'; readonly id: number; readonly job: Job }
  | { readonly type: 'request-abort'; readonly id: number }
  | { readonly type: 'engine-close' }
  /** Dies of an uncaught exception. Only tests and `npm run chaos` send it. */
  | { readonly type: 'worker-crash' };

export interface DecidedToken {
  readonly tokenId: number;
  readonly isDraft: boolean;
  readonly logprob?: number;
  readonly top?: readonly RankedToken[];
}

export type WorkerMessage =
  | {
      readonly type: 'model-loaded';
      readonly model: ModelDescription;
      readonly fim: FimFormat | null;
      readonly kvMemory: KvMemory;
      readonly isExact: boolean;
      readonly loadSeconds: number;
    }
  | { readonly type: 'engine-ready'; readonly tuning: WorkerTuning }
  /** Sequences began or ended. */
  | { readonly type: 'kv-memory-used'; readonly usage: KvUsage }
  /** The request left the queue. */
  | { readonly type: 'request-started'; readonly id: number }
  /** Log probabilities of prompt tokens; `firstIndex` is the prompt index of the first of them, at least 1. */
  | {
      readonly type: 'prompt-scored';
      readonly id: number;
      readonly firstIndex: number;
      readonly tokens: readonly DecidedToken[];
    }
  /** The prompt is cached and the first token decided. */
  | {
      readonly type: 'request-prefilled';
      readonly id: number;
      readonly token: DecidedToken;
      /** Last tokens of the prompt in whose place it is (GenerateJob.openEnd). */
      readonly numReplacedTokens: number;
      readonly prefillSeconds: number;
      /** Prompt tokens looked for in what other sequences hold: all or none. */
      readonly numQueriedTokens: number;
      /** Of these, how many were found and not computed. */
      readonly numCachedTokens: number;
      readonly finish: FinishReason | null;
    }
  | {
      readonly type: 'tokens-decided';
      readonly id: number;
      readonly tokens: readonly DecidedToken[];
      readonly round: RoundStats;
      /** Everything this round cost, tensors and messages included; its share of what was shared. */
      readonly decodeSeconds: number;
      /** What plain decoding would have taken for these tokens, beside the same others. */
      readonly baselineSeconds: number;
      readonly finish: FinishReason | null;
    }
  | {
      readonly type: 'request-replayed';
      readonly id: number;
      readonly tokenIds: readonly number[];
      readonly plainSeconds: number;
    }
  | { readonly type: 'request-failed'; readonly id: number; readonly message: string }
  /** The engine cannot go on; the worker ends. */
  | {
      readonly type: 'engine-failed';
      readonly code: ErrorCode;
      readonly message: string;
      readonly param: string | null;
    };
