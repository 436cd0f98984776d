/**
 * Workers with a model each. A step of a small model keeps one core busy and gains nothing from a second, so that two
 * requests are decoded faster by two workers than in turns by one. Requests wait here, in the order in which they came,
 * until a worker has a place for them. Knows nothing of what they ask for.
 */
import { availableParallelism } from 'node:os';
import { ForetokenError } from '../errors.ts';
import type { KvUsage } from './kv-store.ts';
import { PromptAffinity } from './prompt-affinity.ts';
import type { MainMessage, WorkerMessage, WorkerOptions, WorkerTuning } from './protocol.ts';
import { WorkerSupervisor, type LiveMessage, type StartWorker } from './worker-supervisor.ts';

/** A request, as far as the pool needs to know it. */
export interface PooledRun {
  readonly id: number;
  readonly promptTokenIds: readonly number[];
  /** Most tokens that it can come to. */
  readonly maxTokens: number;
  /** Whether it may take over what a worker has computed of its prompt, and others what is computed for it. */
  readonly sharesPrompt: boolean;
  /** Sends its job. */
  start(): void;
  receive(message: Extract<WorkerMessage, { readonly id: number }>): void;
  workerDied(error: ForetokenError): void;
}

export interface PoolEvents {
  /** A worker has loaded the model; all load the same. */
  loaded(message: Extract<WorkerMessage, { readonly type: 'model-loaded' }>): void;
  /** The first worker is ready; the others are being started with what it found. */
  ready(tuning: WorkerTuning): void;
  /** All workers are ready for the first time. */
  complete(): void;
  /** The first worker was never ready. */
  failedToStart(reason: ForetokenError): void;
  died(reason: ForetokenError, pauseMs: number): void;
  restarted(): void;
  gaveUp(reason: ForetokenError): void;
}

export interface PoolOptions extends Omit<WorkerOptions, 'measured' | 'load' | 'index'> {
  readonly startWorker: StartWorker;
}

/** Prompt tokens that are prefilled in the time in which one is decoded, about. */
const PREFILLED_PER_DECODED_TOKEN = 3;

const NOTHING_USED: KvUsage = { runningBytes: 0, keptBytes: 0 };

class Member {
  isReady = false;
  usage = NOTHING_USED;
  readonly runs = new Map<number, PooledRun>();
  readonly affinity = new PromptAffinity();
  readonly supervisor: WorkerSupervisor;

  constructor(supervise: (member: Member) => WorkerSupervisor) {
    this.supervisor = supervise(this);
  }
}

export class WorkerPool {
  private readonly options: PoolOptions;
  private readonly events: PoolEvents;
  private readonly members: Member[] = [];
  /** [workers]: how much each has to do, for the others to see whether they have the machine to themselves. */
  private readonly load: Int32Array<SharedArrayBuffer>;
  private waiting: PooledRun[] = [];
  /** What the first worker found out; null until it is ready. */
  private tuning: WorkerTuning | null = null;
  private isComplete = false;
  /** Whether nothing is to be given to workers now. */
  private isHeld = false;

  constructor(options: PoolOptions, events: PoolEvents) {
    this.options = options;
    this.events = events;
    const mostWorkers = Math.max(options.numWorkers, availableParallelism());
    this.load = new Int32Array(new SharedArrayBuffer(mostWorkers * Int32Array.BYTES_PER_ELEMENT));
    this.addMember();
  }

  get isReady(): boolean {
    return this.numReady > 0;
  }

  get numReady(): number {
    return this.members.filter((member) => member.isReady).length;
  }

  get numWorkers(): number {
    return this.tuning?.numWorkers ?? 1;
  }

  /** Of all workers together. */
  get kvUsage(): KvUsage {
    const sum = (of: (usage: KvUsage) => number): number =>
      this.members.reduce((total, { usage }) => total + of(usage), 0);
    return {
      runningBytes: sum(({ runningBytes }) => runningBytes),
      keptBytes: sum(({ keptBytes }) => keptBytes),
    };
  }

  add(run: PooledRun): void {
    this.waiting.push(run);
    this.place();
  }

  /** Nothing more is to come of it. `hasSucceeded`: its worker has done what it is there for. */
  remove(id: number, hasSucceeded: boolean): void {
    const member = this.memberOf(id);
    if (hasSucceeded) member?.supervisor.succeeded();
    member?.runs.delete(id);
    this.publishLoad();
    this.waiting = this.waiting.filter((run) => run.id !== id);
    this.place();
  }

  /** To the worker that has the request; none has it while it waits. */
  send(id: number, message: MainMessage): void {
    this.memberOf(id)?.supervisor.send(message);
  }

  async close(): Promise<void> {
    this.isHeld = true;
    await Promise.all(this.members.map(async ({ supervisor }) => supervisor.close()));
  }

  /** The requests of each; loading the model is as much work as one. */
  private publishLoad(): void {
    for (const [index, { runs, isReady }] of this.members.entries())
      Atomics.store(this.load, index, isReady ? runs.size : 1);
  }

  private memberOf(id: number): Member | undefined {
    return this.members.find(({ runs }) => runs.has(id));
  }

  private addMember(): void {
    const { startWorker, ...options } = this.options;
    const { load, members } = this;
    const index = members.length;
    const start = () => startWorker({ ...options, ...this.tuning, load, index });
    const member = new Member(
      (self) =>
        new WorkerSupervisor(
          start,
          {
            received: (message) => this.receive(self, message),
            died: (reason, pauseMs) => this.memberDied(self, reason, pauseMs),
            restarted: () => this.events.restarted(),
            failedToStart: (reason) => this.events.failedToStart(reason),
            gaveUp: (reason) => {
              this.lose(self, reason);
              this.events.gaveUp(reason);
            },
          },
          this.tuning !== null,
        ),
    );
    this.members.push(member);
    this.publishLoad();
  }

  private receive(member: Member, message: LiveMessage): void {
    switch (message.type) {
      case 'model-loaded':
        this.events.loaded(message);
        return;
      case 'engine-ready':
        member.isReady = true;
        this.publishLoad();
        this.settle(message.tuning);
        this.place();
        return;
      case 'kv-memory-used':
        member.usage = message.usage;
        return;
      default:
        member.runs.get(message.id)?.receive(message);
    }
  }

  /** The others come once the first has measured, alone, what steps cost: they are started with what it found. */
  private settle(tuning: WorkerTuning): void {
    if (this.tuning === null) {
      this.tuning = tuning;
      while (this.members.length < tuning.numWorkers) this.addMember();
      this.events.ready(tuning);
    }
    if (this.isComplete || this.numReady < this.members.length) return;
    this.isComplete = true;
    this.events.complete();
  }

  /** Gives those that wait to workers with places. */
  private place(): void {
    if (this.isHeld) return;
    for (let run = this.waiting[0]; run !== undefined; run = this.waiting[0]) {
      const member = this.memberFor(run);
      if (member === undefined) return;
      this.waiting.shift();
      member.runs.set(run.id, run);
      this.publishLoad();
      if (run.sharesPrompt) member.affinity.remember(run.promptTokenIds);
      run.start();
    }
  }

  /**
   * Of the workers with places the one with which the request is done first: beside n others it takes n times longer
   * to decode, while what the worker knows of the prompt need not be prefilled.
   */
  private memberFor({ promptTokenIds, maxTokens, sharesPrompt }: PooledRun): Member | undefined {
    const numPlaces = Math.ceil(this.options.maxNumSeqs / this.numWorkers);
    const costs = this.members
      .filter(({ isReady, runs }) => isReady && runs.size < numPlaces)
      .map((member) => {
        const known = sharesPrompt ? member.affinity.commonTokens(promptTokenIds) : 0;
        return { member, cost: member.runs.size * maxTokens * PREFILLED_PER_DECODED_TOKEN - known };
      });
    return costs.toSorted((one, other) => one.cost - other.cost)[0]?.member;
  }

  private memberDied(member: Member, reason: ForetokenError, pauseMs: number): void {
    this.lose(member, reason);
    this.events.died(reason, pauseMs);
    this.place();
  }

  /** Its requests wait for another worker, before those that came later, unless being told of it ends them. */
  private lose(member: Member, reason: ForetokenError): void {
    const runs = [...member.runs.values()];
    member.runs.clear();
    member.isReady = false;
    this.publishLoad();
    member.usage = NOTHING_USED;
    member.affinity.forget();
    this.waiting = [...runs, ...this.waiting];
    const message = 'the engine failed while it worked on this request';
    this.isHeld = true;
    for (const run of runs)
      run.workerDied(new ForetokenError('engine_failed', message, null, { cause: reason }));
    this.isHeld = false;
  }
}
