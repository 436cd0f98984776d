/**
 * The engine's thread: `session.run` blocks whoever calls it, so the model lives here and the main thread stays free.
 * Knows nothing of text or HTTP.
 */
import { availableParallelism } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { AcceptanceEstimate } from '../decoding/acceptance-estimate.ts';
import { SharingCosts } from '../decoding/step-costs.ts';
import { ForetokenError } from '../errors.ts';
import type { ModelManifest } from '../model/manifest.ts';
import { admit } from './admission.ts';
import { calibrate } from './calibration.ts';
import type { ModelDescription } from './generation.ts';
import { kvMemoryOf, workersWithRoom } from './kv-memory.ts';
import { KvStore } from './kv-store.ts';
import { Lockstep } from './lockstep.ts';
import { loadModel, type LoadedModel } from './loaded-model.ts';
import { Neighbours } from './neighbours.ts';
import { Outbox } from './outbox.ts';
import { PlainStepSchedule } from './plain-step-schedule.ts';
import type { MainMessage, WorkerMessage, WorkerOptions } from './protocol.ts';
import { Scheduler } from './scheduler.ts';
import { warmUp } from './warm-up.ts';
import type { WorkerContext } from './worker-context.ts';

function describe(manifest: ModelManifest): ModelDescription {
  return {
    id: manifest.id,
    created: manifest.created,
    vocabSize: manifest.vocabSize,
    maxModelLength: manifest.contextLength,
    supportsSuffix: manifest.fim !== null,
    hasChatTemplate: manifest.hasChatTemplate,
    numSpecTokens: manifest.numSpecTokens,
    maxSpecTokens: manifest.maxSpecTokens,
  };
}

async function start(
  options: WorkerOptions,
  post: WorkerContext['post'],
): Promise<{ readonly model: LoadedModel; readonly context: WorkerContext }> {
  const loadStart = performance.now();
  const model = await loadModel(options.modelFolder, options.threads, {
    maxSharing: options.maxNumSeqs,
    hasNeighbours: options.numWorkers !== 1,
    weights: options.weights,
  });
  const loadSeconds = (performance.now() - loadStart) / 1000;
  const { manifest, isExact, numThreads, solo } = model;
  const mostWorkers = Math.max(1, Math.floor(availableParallelism() / numThreads));
  const numWorkers = options.numWorkers || workersWithRoom(manifest, options.kvCacheMib, mostWorkers);
  const kvMemory = kvMemoryOf(manifest, options.kvCacheMib, options.maxNumSeqs, numWorkers);
  const { fim } = manifest;
  post({ type: 'model-loaded', model: describe(manifest), fim, kvMemory, isExact, loadSeconds });
  const measured = options.measured ?? (await calibrate(model));
  const costs = new SharingCosts(measured);
  const neighbours = new Neighbours(options.load, options.index);
  const newLockstep = (others: () => boolean): Lockstep =>
    new Lockstep(model, (numSharing) => costs.of(numSharing), others);
  const context: WorkerContext = {
    model,
    kv: new KvStore(kvMemory, model, (usage) => post({ type: 'kv-memory-used', usage })),
    costs,
    acceptance: AcceptanceEstimate.prior(model.manifest.maxSpecTokens),
    post,
    plainSteps: new PlainStepSchedule(),
    lockstep: newLockstep(() => neighbours.areBusy()),
  };
  await warmUp({ ...context, lockstep: newLockstep(() => true) }, kvMemory);
  if (solo !== null) {
    const alone = { ...model, shared: [] };
    await warmUp({ ...context, model: alone, lockstep: newLockstep(() => false) }, kvMemory);
  }
  const threads = { numThreads, numSoloThreads: solo?.numThreads ?? numThreads };
  post({ type: 'engine-ready', tuning: { threads, numWorkers, measured } });
  return { model, context };
}

async function main(): Promise<void> {
  const port = parentPort;
  if (port === null) throw new Error('expected to run as a worker thread');
  const options = workerData as WorkerOptions;
  const outbox = new Outbox<WorkerMessage>((messages) => port.postMessage(messages));
  const post: WorkerContext['post'] = (message, holdMs) => outbox.add(message, holdMs);
  try {
    const { model, context } = await start(options, post);
    const scheduler = new Scheduler(
      options.maxNumSeqs,
      {
        started: (id) => post({ type: 'request-started', id }),
        failed: (id, error) =>
          post({ type: 'request-failed', id, message: String((error as Error).stack ?? error) }),
      },
      context.lockstep,
    );
    port.on('message', (message: MainMessage) => {
      if (message.type === 'engine-close') return scheduler.close();
      if (message.type === 'request-abort') return scheduler.abort(message.id);
      if (message.type === 'worker-crash') throw new Error('crashed as told');
      const { id, job } = message;
      scheduler.add(id, () => admit(id, job, context));
    });
    await scheduler.run();
    await model.solo?.target.close();
    for (const models of [model, ...model.shared]) {
      await models.target.close();
      await models.mtp?.close();
    }
  } catch (error) {
    const known = error instanceof ForetokenError ? error : null;
    post({
      type: 'engine-failed',
      code: known?.code ?? 'engine_failed',
      message: known?.message ?? String((error as Error).stack ?? error),
      param: known?.param ?? null,
    });
  } finally {
    outbox.flush();
    port.close();
  }
}

await main();
