/** The engine as the server starts it, for scripts. */
import { pino } from 'pino';
import { defaultModelFolder } from '../../src/config.ts';
import { startEngine, type EngineOptions } from '../../src/engine/engine.ts';
import type { Engine } from '../../src/engine/generation.ts';
import type { WorkerTuning } from '../../src/engine/protocol.ts';

const tunings = new WeakMap<Engine, WorkerTuning>();

/** Of a forward of a sequence that runs alone in `engine`, one that openEngine has opened. */
export const numThreadsOf = (engine: Engine): number => tunings.get(engine)!.threads.numSoloThreads;

/** One worker, without a prefix cache unless asked for: a benchmark computes each of its prompts, however often it comes. */
export async function openEngine(
  model: string | undefined,
  numThreads: number,
  more: Partial<EngineOptions> = {},
): Promise<Engine> {
  let tuning: WorkerTuning | undefined;
  // What was found out at start is only ever logged.
  const log = {
    write(line: string): void {
      const entry = JSON.parse(line) as { level: number; tuning?: WorkerTuning };
      tuning ??= entry.tuning;
      if (entry.level >= pino.levels.values['warn']!) process.stderr.write(line);
    },
  };
  const engine = await startEngine({
    modelFolder: model ?? defaultModelFolder(),
    numThreads,
    numWorkers: 1,
    maxNumSeqs: 4,
    maxQueue: 64,
    prefixCache: false,
    speculation: 'auto',
    observer: { roundFinished: () => {}, requestFinished: () => {}, workerRestarted: () => {} },
    logger: pino({ level: 'info' }, log),
    ...more,
  });
  if (tuning !== undefined) tunings.set(engine, tuning);
  return engine;
}
