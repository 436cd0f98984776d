/** The engine as the server starts it, for scripts. */
import { pino } from 'pino';
import { defaultModelFolder } from '../../src/config.ts';
import { startEngine } from '../../src/engine/engine.ts';
import type { Engine } from '../../src/engine/generation.ts';

/** Without a prefix cache unless asked for: a benchmark computes each of its prompts, however often it comes. */
export async function openEngine(
  model: string | undefined,
  numThreads: number,
  prefixCache = false,
): Promise<Engine> {
  return await startEngine({
    modelFolder: model ?? defaultModelFolder(),
    numThreads,
    numWorkers: 1,
    maxNumSeqs: 4,
    maxQueue: 64,
    prefixCache,
    speculation: 'auto',
    observer: { roundFinished: () => {}, requestFinished: () => {}, workerRestarted: () => {} },
    logger: pino({ level: 'warn' }, pino.destination(2)),
  });
}
