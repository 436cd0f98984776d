/**
 * How the process ends. The first SIGTERM or SIGINT lets running requests finish, the second aborts them, the third
 * waits for nothing. It can also end because its engine has.
 */
import closeWithGrace, { type Signals } from 'close-with-grace';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { EngineGate } from '../server/engine-gate.ts';

/** After these no code can be relied on: the process dies of them, as it would without handlers, and does not drain. */
const crashSignals: Signals[] = ['SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV'];

/** Beyond the time that requests get: for closing sockets and freeing the model. */
const closeMs = 5000;

export interface DrainOptions {
  readonly gate: EngineGate;
  readonly logger: Logger;
  /** How long running requests may go on. */
  readonly timeoutMs: number;
  /** Whether SIGHUP means something else here. */
  readonly ignoresHangup: boolean;
  /** Ends with an error what is still running, and closes what is open. */
  readonly close: () => Promise<void>;
}

export interface Ending {
  /** Closes as a signal does, and exits with 1. */
  fail(): void;
}

export function drainOnSignal({ gate, logger, timeoutMs, ignoresHangup, close }: DrainOptions): Ending {
  const hurry = new AbortController();
  let isClosing = false;
  let hasFailed = false;
  const signals = ['SIGTERM', 'SIGINT'] as const;
  const skip = [...signals, ...crashSignals, ...(ignoresHangup ? ['SIGHUP' as const] : [])];

  const grace = closeWithGrace({ delay: timeoutMs + closeMs, logger, skip }, async ({ err }) => {
    isClosing = true;
    if (err !== undefined) logger.fatal({ err }, 'unexpected error, closing');
    gate.startDraining();
    const hurried = new Promise((resolve) => {
      hurry.signal.addEventListener('abort', resolve);
    });
    await Promise.race([gate.whenIdle(), hurried, sleep(err === undefined ? timeoutMs : 0)]);
    await close();
    logger.info('closed');
    if (hurry.signal.aborted || hasFailed) process.exit(1);
  });

  for (const signal of signals) {
    process.on(signal, () => {
      if (hurry.signal.aborted) process.exit(1);
      if (!isClosing) {
        logger.info({ signal, timeoutSeconds: timeoutMs / 1000 }, 'draining');
        grace.close();
        return;
      }
      logger.warn({ signal }, 'second signal, aborting what still runs');
      hurry.abort();
      setTimeout(() => process.exit(1), closeMs).unref();
    });
  }
  return {
    fail(): void {
      hasFailed = true;
      grace.close();
    },
  };
}
