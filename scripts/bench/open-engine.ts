/** The engine as the server starts it, for scripts. */
import { pino } from 'pino';
import { defaultModelFolder } from '../../src/config.ts';
import { startEngine } from '../../src/engine/engine.ts';
import type { Engine } from '../../src/engine/generation.ts';

export async function openEngine(model: string | undefined, numThreads: number): Promise<Engine> {
  return await startEngine({
    modelFolder: model ?? defaultModelFolder(),
    numThreads,
    maxNumSeqs: 4,
    maxQueue: 64,
    speculation: 'auto',
    observer: { roundFinished: () => {}, requestFinished: () => {} },
    logger: pino({ level: 'warn' }, pino.destination(2)),
  });
}
