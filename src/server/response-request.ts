/** A `response.create` event becomes one generation. */
import type { GenerationRequest, ModelDescription } from '../engine/generation.ts';
import { ForetokenError } from '../errors.ts';
import {
  assertModel,
  assertTokenIds,
  randomSeed,
  samplingParams,
  speculationSettings,
  stopStrings,
  unsignedSeed,
} from './generation-request.ts';
import type { ResponseCreate } from './schemas/response.ts';

/** One message of a user is a raw prompt; who said what in a conversation only a chat template can put into text. */
function inputPrompt(input: NonNullable<ResponseCreate['input']>): string {
  if (typeof input === 'string') return input;
  const [message] = input;
  if (input.length !== 1 || message?.role !== 'user') {
    const text = 'input: the model has no chat template, so expected a string or exactly one user message';
    throw new ForetokenError('chat_template_missing', text, 'input');
  }
  const { content } = message;
  return typeof content === 'string' ? content : content.map((part) => part.text).join('');
}

function promptOf(event: ResponseCreate, model: ModelDescription): string | readonly number[] {
  const { input = null, prompt = null } = event;
  if (typeof event.instructions === 'string' && event.instructions !== '') {
    const message = 'instructions: the model has no chat template to put them into';
    throw new ForetokenError('chat_template_missing', message, 'instructions');
  }
  if (input !== null && prompt !== null) {
    throw new ForetokenError(
      'invalid_request',
      'prompt: expected either input or prompt, got both',
      'prompt',
    );
  }
  if (input !== null) return inputPrompt(input);
  if (prompt === null) throw new ForetokenError('invalid_request', 'input: required, got nothing', 'input');
  if (typeof prompt !== 'string') assertTokenIds(prompt, model, 'prompt');
  return prompt;
}

export function responseGenerationRequest(event: ResponseCreate, model: ModelDescription): GenerationRequest {
  assertModel(event.model, model);
  const speculation = speculationSettings(event.speculation, model);
  const seed = typeof event.seed === 'number' ? unsignedSeed(event.seed) : randomSeed();
  return {
    prompt: promptOf(event, model),
    ...(typeof event.suffix === 'string' ? { suffix: event.suffix } : {}),
    ...(typeof event.max_output_tokens === 'number' ? { maxTokens: event.max_output_tokens } : {}),
    sampling: samplingParams(event, model, seed),
    stop: stopStrings(event.stop),
    ignoreEos: event.ignore_eos ?? false,
    echo: false,
    cachePrompt: event.cache_prompt ?? true,
    tokenHealing: event.token_healing ?? true,
    ...(speculation === undefined ? {} : { speculation }),
  };
}
