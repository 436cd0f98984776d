/** The engine as the server starts it, for scripts. */
import { pino } from 'pino';
import { defaultModelFolder } from '../../src/config.ts';
import { startEngine, type EngineOptions } from '../../src/engine/engine.ts';
import type { Engine } from '../../src/engine/generation.ts';

/** One worker, without a prefix cache unless asked for: a benchmark computes each of its prompts, however often it comes. */
export async function openEngine(
  model: string | undefined,
  numThreads: number,
  more: Partial<EngineOptions> = {},
): Promise<Engine> {
  return await startEngine({
    modelFolder: model ?? defaultModelFolder(),
    numThreads,
    numWorkers: 1,
    maxNumSeqs: 4,
    maxQueue: 64,
    prefixCache: false,
    speculation: 'auto',
    observer: { roundFinished: () => {}, requestFinished: () => {}, workerRestarted: () => {} },
    logger: pino({ level: 'warn' }, pino.destination(2)),
    ...more,
  });
}
