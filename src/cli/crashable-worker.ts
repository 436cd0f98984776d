/**
 * For `npm run chaos`: a parent that forked the server with an IPC channel and says so in the environment can let the
 * engine's worker die.
 */
import { startWorkerThread, type StartWorker, type WorkerThread } from '../engine/worker-supervisor.ts';

/** Undefined, with nothing listened to, for every other process. */
export function crashableWorker(): StartWorker | undefined {
  if (process.send === undefined || process.env['FORETOKEN_CHAOS'] !== 'ipc') return undefined;
  let latest: WorkerThread | undefined;
  process.on('message', (message) => {
    if (message === 'crash-worker') latest?.postMessage({ type: 'worker-crash' });
  });
  return (options) => {
    latest = startWorkerThread(options);
    return latest;
  };
}
