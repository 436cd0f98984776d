/** What a request is to a worker. */
import type { GenerationRequest, SpeculationSettings } from './generation.ts';
import type { EncodedPrompt } from './prompt.ts';
import type { GenerateJob, ReplayJob } from './protocol.ts';

export const sharesPrompt = (request: GenerationRequest): boolean => request.cachePrompt ?? true;

export function generateJob(
  request: GenerationRequest,
  prompt: EncodedPrompt,
  speculation: SpeculationSettings,
): GenerateJob {
  return {
    kind: 'generate',
    promptTokenIds: prompt.tokenIds,
    openEnd: prompt.openEnd,
    maxTokens: prompt.maxTokens,
    sampling: request.sampling,
    ignoreEos: request.ignoreEos,
    numTopLogprobs: request.logprobs ?? null,
    promptLogprobs: request.echo && request.logprobs !== undefined,
    maxDraftTokens: speculation.maxDraftTokens,
    adaptive: speculation.adaptive,
    cachePrompt: sharesPrompt(request),
    // Its plain steps will be taken alone: only what ran alone too compares with them.
    sharesPasses: !speculation.measureBaseline,
    tokensMayWait: request.stop.length === 0,
  };
}

export const replayJob = (
  request: GenerationRequest,
  prompt: EncodedPrompt,
  numTokens: number,
): ReplayJob => ({
  kind: 'replay',
  promptTokenIds: prompt.tokenIds,
  openEnd: prompt.openEnd,
  numTokens,
  sampling: request.sampling,
});
