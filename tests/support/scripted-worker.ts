/** The engine's worker without threads or ONNX: scheduler, KV store and turns over a scripted model. */
import { AcceptanceEstimate } from '../../src/decoding/acceptance-estimate.ts';
import { SharingCosts } from '../../src/decoding/step-costs.ts';
import { admit } from '../../src/engine/admission.ts';
import type { KvMemory } from '../../src/engine/kv-memory.ts';
import { KvStore } from '../../src/engine/kv-store.ts';
import { Lockstep } from '../../src/engine/lockstep.ts';
import { PlainStepSchedule } from '../../src/engine/plain-step-schedule.ts';
import type { GenerateJob, Job, WorkerMessage } from '../../src/engine/protocol.ts';
import { Scheduler } from '../../src/engine/scheduler.ts';
import type { WorkerContext } from '../../src/engine/worker-context.ts';
import type { KvCache, MtpOutput, SharedModels, TargetOutput } from '../../src/model/target-model.ts';
import { samplingParams } from './sampling.ts';
import {
  HIDDEN_SIZE,
  ScriptedCachePool,
  ScriptedMtp,
  scriptedShared,
  ScriptedTarget,
  VOCAB_SIZE,
} from './scripted-model.ts';

/** The context window, and the capacity of every cache. */
export const CAPACITY = 128;
export const EOS = 23;

export interface ScriptedWorkerOptions {
  readonly maxNumSeqs?: number;
  /** Of KV memory, where a position takes a byte in the target's cache and another in the MTP module's. */
  readonly budgetBytes?: number;
  /** Numbers of sequences that can share a pass, the greatest first. */
  readonly sharing?: readonly number[];
  /** The narrowest forward that rounds as wider ones do; absent: 2. */
  readonly leastWidth?: 1 | 2;
  /** Whether a sequence that has the machine to itself has a target of its own. */
  readonly hasSolo?: boolean;
  /** Is told every message as it is posted, and how long it may wait for others. */
  readonly onMessage?: (message: WorkerMessage, holdMs: number) => void;
}

export function generateJob(given: Partial<GenerateJob> = {}): GenerateJob {
  return {
    kind: 'generate',
    promptTokenIds: [1, 2, 3],
    openEnd: [],
    maxTokens: 30,
    sampling: samplingParams(),
    ignoreEos: true,
    numTopLogprobs: null,
    promptLogprobs: false,
    maxDraftTokens: 3,
    adaptive: false,
    cachePrompt: true,
    sharesPasses: true,
    tokensMayWait: true,
    ...given,
  };
}

/** Of plain steps, 1 among others. */
export const SOLO_PLAIN_SECONDS = 0.5;

export const nextTick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await nextTick();
}

/** As with the real worker, messages arrive between runs: an abort can come at any of them. */
class TickingTarget extends ScriptedTarget {
  override async forwardAtWidth(cache: KvCache, tokenIds: readonly number[]): Promise<TargetOutput> {
    await nextTick();
    return await super.forwardAtWidth(cache, tokenIds);
  }
}

class TickingMtp extends ScriptedMtp {
  override async forward(
    cache: KvCache,
    tokenIds: readonly number[],
    hiddenStates: Float32Array,
  ): Promise<MtpOutput> {
    await nextTick();
    return await super.forward(cache, tokenIds, hiddenStates);
  }
}

export class ScriptedWorker {
  readonly messages: WorkerMessage[] = [];
  readonly target = new TickingTarget();
  readonly soloTarget = new TickingTarget();
  /** Whether other workers have anything to do. */
  othersRun = false;
  readonly pools = { target: new ScriptedCachePool(CAPACITY), mtp: new ScriptedCachePool(CAPACITY) };
  readonly context: WorkerContext;
  readonly scheduler: Scheduler;
  readonly memory: KvMemory;
  readonly shared: readonly SharedModels[];
  /** Widths of the parts of each shared pass. */
  readonly sharedPasses: { readonly pass: 'draft' | 'verify'; readonly widths: number[] }[] = [];
  private readonly done: Promise<void>;

  constructor({
    maxNumSeqs = 2,
    budgetBytes = 40 * CAPACITY,
    sharing = [],
    leastWidth = 2,
    hasSolo = false,
    onMessage,
  }: ScriptedWorkerOptions = {}) {
    const mtp = new TickingMtp((position) => position % 4 !== 0);
    this.shared = sharing.map((numSequences) =>
      scriptedShared(numSequences, this.target, mtp, (pass, widths) =>
        this.sharedPasses.push({ pass, widths }),
      ),
    );
    const model = {
      manifest: {
        folder: '',
        id: 'scripted',
        created: 0,
        vocabSize: VOCAB_SIZE,
        hiddenSize: HIDDEN_SIZE,
        contextLength: CAPACITY,
        eosTokenIds: [EOS],
        target: {} as never,
        mtp: null,
        numSpecTokens: 3,
        maxSpecTokens: 8,
        fim: null,
        hasChatTemplate: false,
        sharedPasses: [],
      },
      target: this.target,
      targetCaches: this.pools.target,
      mtp,
      mtpCaches: this.pools.mtp,
      isExact: true,
      shared: this.shared,
      widths: { least: leastWidth, multiple: 1 } as const,
      numThreads: 1,
      solo: hasSolo ? { target: this.soloTarget, numThreads: 2 } : null,
    };
    const post = (message: WorkerMessage, holdMs = 0): void => {
      this.messages.push(message);
      onMessage?.(message, holdMs);
    };
    this.memory = { budgetBytes, maxPositions: CAPACITY, targetPositionBytes: 1, mtpPositionBytes: 1 };
    const stepCosts = {
      lengths: [16],
      plainSeconds: [1],
      verifyRatios: Array<number>(10).fill(1.2),
      draftSeconds: Array<number>(9).fill(0.2),
    };
    const soloCosts = { ...stepCosts, plainSeconds: [SOLO_PLAIN_SECONDS] };
    const bySharing = new Map([1, ...sharing].map((numSharing) => [numSharing, stepCosts]));
    const costs = new SharingCosts({ bySharing, solo: hasSolo ? soloCosts : null });
    this.context = {
      model,
      kv: new KvStore(this.memory, model, (usage) => post({ type: 'kv-memory-used', usage })),
      costs,
      acceptance: AcceptanceEstimate.prior(8),
      post,
      plainSteps: new PlainStepSchedule(),
      lockstep: new Lockstep(
        model,
        (numSharing) => costs.of(numSharing),
        () => this.othersRun,
      ),
    };
    this.scheduler = new Scheduler(
      maxNumSeqs,
      {
        started: (id) => post({ type: 'request-started', id }),
        failed: (id, error) => post({ type: 'request-failed', id, message: String(error) }),
      },
      this.context.lockstep,
    );
    this.done = this.scheduler.run();
  }

  add(id: number, given: Partial<GenerateJob> = {}): void {
    this.addJob(id, generateJob(given));
  }

  addJob(id: number, job: Job): void {
    this.scheduler.add(id, () => admit(id, job, this.context));
  }

  /** The tokens of one request, from its admission to the end of its turns. */
  async generate(id: number, given: Partial<GenerateJob> = {}): Promise<number[]> {
    this.add(id, given);
    await until(() => (this.finishOf(id) ?? null) !== null);
    await until(() => this.context.kv.usage.runningBytes === 0);
    return this.tokensOf(id);
  }

  finishOf(id: number): string | null | undefined {
    return this.messages
      .filter((message) => message.type === 'tokens-decided' || message.type === 'request-prefilled')
      .findLast((message) => message.id === id)?.finish;
  }

  tokensOf(id: number): number[] {
    return this.messages.flatMap((message) => {
      if (message.type === 'request-prefilled' && message.id === id) return [message.token.tokenId];
      if (message.type === 'tokens-decided' && message.id === id)
        return message.tokens.map((token) => token.tokenId);
      return [];
    });
  }

  /** Prompt tokens that were not computed; throws before the prefill's end. */
  numCachedOf(id: number): number {
    const prefilled = this.messages.find(
      (message) => message.type === 'request-prefilled' && message.id === id,
    );
    if (prefilled?.type !== 'request-prefilled') throw new Error(`request ${id} is not prefilled`);
    return prefilled.numCachedTokens;
  }

  async close(): Promise<void> {
    this.scheduler.close();
    await this.done;
  }
}
