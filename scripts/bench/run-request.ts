/** One request through the engine, collected. */
import type { SamplingParams } from '../../src/decoding/sampling-params.ts';
import type { Engine, GenerationRequest, SpeculationSettings } from '../../src/engine/generation.ts';
import type { GenerationReport } from '../../src/metrics/generation-report.ts';

export interface Completed {
  readonly tokenIds: readonly number[];
  readonly text: string;
  readonly report: GenerationReport;
}

export interface RequestOptions {
  readonly prompt: GenerationRequest['prompt'];
  readonly numTokens: number;
  readonly sampling: SamplingParams;
  readonly speculation: SpeculationSettings;
  /** Absent: as the engine was opened. */
  readonly cachePrompt?: boolean;
}

/** Exactly `numTokens` tokens: an end of text does not end it, so that every run is of the same length. */
export async function runRequest(engine: Engine, options: RequestOptions): Promise<Completed> {
  const request: GenerationRequest = {
    prompt: options.prompt,
    maxTokens: options.numTokens,
    sampling: options.sampling,
    stop: [],
    ignoreEos: true,
    echo: false,
    speculation: options.speculation,
    ...(options.cachePrompt === undefined ? {} : { cachePrompt: options.cachePrompt }),
  };
  const tokenIds: number[] = [];
  let text = '';
  for await (const event of engine.generate(request)) {
    if (event.type === 'tokens-generated') {
      tokenIds.push(...event.tokens.map((token) => token.tokenId));
      text += event.text;
    }
    if (event.type === 'generation-finished') return { tokenIds, text, report: event.report };
  }
  throw new Error('the generation ended without a report');
}
