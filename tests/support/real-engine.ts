import { pino } from 'pino';
import { defaultModelFolder } from '../../src/config.ts';
import { startEngine, type EngineOptions } from '../../src/engine/engine.ts';
import type {
  Engine,
  GeneratedToken,
  GenerationEvent,
  GenerationRequest,
  SpeculationSettings,
} from '../../src/engine/generation.ts';
import type { ThreadCounts } from '../../src/engine/loaded-model.ts';
import type { GenerationReport } from '../../src/metrics/generation-report.ts';
import { samplingParams } from './sampling.ts';

/** The engine with the shipped model. */
export async function startRealEngine(options: Partial<EngineOptions> = {}): Promise<Engine> {
  return await startEngine({
    modelFolder: defaultModelFolder(),
    numThreads: 2,
    numWorkers: 1,
    maxNumSeqs: 3,
    maxQueue: 100,
    speculation: 'auto',
    observer: { roundFinished: () => {}, requestFinished: () => {}, workerRestarted: () => {} },
    logger: pino({ level: 'silent' }),
    ...options,
  });
}

/** Of every forward. */
export const oneThread: ThreadCounts = { numThreads: 1, numSoloThreads: 1 };

export const speculationOf = (maxDraftTokens: number, adaptive = false): SpeculationSettings => ({
  maxDraftTokens,
  adaptive,
  measureBaseline: false,
});

export function requestOf(
  given: Partial<GenerationRequest> & Pick<GenerationRequest, 'prompt'>,
): GenerationRequest {
  return { maxTokens: 32, sampling: samplingParams(), stop: [], ignoreEos: true, echo: false, ...given };
}

export interface Collected {
  readonly events: readonly GenerationEvent[];
  readonly tokens: readonly GeneratedToken[];
  readonly tokenIds: readonly number[];
  readonly text: string;
  readonly finish: string;
  readonly report: GenerationReport;
}

export async function collect(generation: AsyncIterable<GenerationEvent>): Promise<Collected> {
  const events: GenerationEvent[] = [];
  for await (const event of generation) events.push(event);
  const tokens = events.flatMap((event) => (event.type === 'tokens-generated' ? event.tokens : []));
  const last = events.at(-1);
  if (last?.type !== 'generation-finished') throw new Error('the generation ended without a report');
  return {
    events,
    tokens,
    tokenIds: tokens.map((token) => token.tokenId),
    text: events.map((event) => (event.type === 'tokens-generated' ? event.text : '')).join(''),
    finish: last.reason,
    report: last.report,
  };
}
