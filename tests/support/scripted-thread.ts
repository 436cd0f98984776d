/** A scripted worker as the engine meets a thread: it loads, takes messages, and can die at any moment. */
import { EventEmitter } from 'node:events';
import type { MainMessage, WorkerMessage } from '../../src/engine/protocol.ts';
import type { WorkerThread } from '../../src/engine/worker-supervisor.ts';
import { CAPACITY, nextTick, ScriptedWorker } from './scripted-worker.ts';
import { VOCAB_SIZE } from './scripted-model.ts';

const model = {
  id: 'scripted',
  created: 0,
  vocabSize: VOCAB_SIZE,
  maxModelLength: CAPACITY,
  supportsSuffix: false,
  hasChatTemplate: false,
  numSpecTokens: 3,
  maxSpecTokens: 8,
};

export class ScriptedThread extends EventEmitter implements WorkerThread {
  /** What the engine sent. */
  readonly received: MainMessage[] = [];
  private readonly worker: ScriptedWorker;
  private isAlive = true;

  private readonly numWorkers: number;

  /** `numWorkers`: as many as the engine is to have, as the first of them says. */
  constructor(maxNumSeqs: number, onMessage: (message: WorkerMessage) => void = () => {}, numWorkers = 1) {
    super();
    this.numWorkers = numWorkers;
    this.worker = new ScriptedWorker({
      maxNumSeqs,
      onMessage: (message) => {
        this.say(message);
        onMessage(message);
      },
    });
    void this.load();
  }

  postMessage(message: MainMessage): void {
    this.received.push(message);
    if (!this.isAlive) return;
    if (message.type === 'engine-close') this.die();
    else if (message.type === 'request-abort') this.worker.scheduler.abort(message.id);
    else if (message.type === 'request-add') this.worker.addJob(message.id, message.job);
  }

  /** Nothing that it had to say is heard after this. */
  die(error?: Error): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    void this.worker.close();
    if (error !== undefined) this.emit('error', error);
    this.emit('exit', 1);
  }

  private async load(): Promise<void> {
    await nextTick();
    const kvMemory = this.worker.memory;
    this.say({ type: 'model-loaded', model, fim: null, kvMemory, isExact: true, loadSeconds: 0 });
    const costs = {
      lengths: [16],
      plainSeconds: [0.001],
      verifyRatios: [1, 1, 1],
      draftSeconds: [0],
    };
    const measured = { bySharing: new Map([[1, costs]]), solo: null };
    const threads = { numThreads: 1, numSoloThreads: 2 };
    this.say({ type: 'engine-ready', tuning: { threads, numWorkers: this.numWorkers, measured } });
  }

  private say(message: WorkerMessage): void {
    if (this.isAlive) this.emit('message', [message]);
  }
}
