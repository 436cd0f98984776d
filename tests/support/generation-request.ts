import type { GenerationRequest } from '../../src/engine/generation.ts';
import { samplingParams } from './sampling.ts';

/** Greedy and of any length, nothing else set, except what is given. */
export function generationRequest(given: Partial<GenerationRequest> = {}): GenerationRequest {
  return { prompt: 'let a', sampling: samplingParams(), stop: [], ignoreEos: false, echo: false, ...given };
}
