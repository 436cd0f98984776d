/** One completion request becomes one generation a choice, in the order of the prompts. */
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
import type { CompletionRequest } from './schemas/completion.ts';

/** More could never be admitted together by a default queue. */
const maxChoices = 64;

type Prompt = string | readonly number[];

function promptsOf(prompt: CompletionRequest['prompt'], model: ModelDescription): readonly Prompt[] {
  if (typeof prompt === 'string') return [prompt];
  if (isTokenIds(prompt)) {
    assertTokenIds(prompt, model, 'prompt');
    return [prompt];
  }
  for (const [index, one] of prompt.entries()) {
    if (typeof one !== 'string') assertTokenIds(one, model, `prompt[${index}]`);
  }
  return prompt;
}

function isTokenIds(prompt: readonly unknown[]): prompt is readonly number[] {
  return typeof prompt[0] === 'number';
}

function assertSupported(body: CompletionRequest, numPrompts: number): void {
  const { n, best_of, stream, stream_options } = body;
  const numChoices = n ?? 1;
  if (typeof best_of === 'number' && best_of !== numChoices) {
    const message = `best_of: choosing among more candidates than n is not supported, expected ${numChoices}, got ${best_of}`;
    throw new ForetokenError('invalid_request', message, 'best_of');
  }
  if (numPrompts * numChoices > maxChoices) {
    const message = `n: expected at most ${maxChoices} choices over all prompts, got ${numPrompts * numChoices}`;
    throw new ForetokenError('invalid_request', message, 'n');
  }
  if (stream_options !== undefined && stream_options !== null && stream !== true) {
    throw new ForetokenError(
      'invalid_request',
      'stream_options: only allowed with stream: true',
      'stream_options',
    );
  }
}

/** Choice i of each prompt is sampled with the seed plus i. */
export function generationRequests(body: CompletionRequest, model: ModelDescription): GenerationRequest[] {
  assertModel(body.model, model);
  const prompts = promptsOf(body.prompt, model);
  assertSupported(body, prompts.length);
  const seed = typeof body.seed === 'number' ? unsignedSeed(body.seed) : randomSeed();
  const speculation = speculationSettings(body.speculation, model);
  const choiceIndices = [...Array(body.n ?? 1).keys()];
  return prompts.flatMap((prompt) =>
    choiceIndices.map((index) => ({
      prompt,
      ...(typeof body.suffix === 'string' ? { suffix: body.suffix } : {}),
      maxTokens: body.max_tokens ?? 16,
      sampling: samplingParams(body, model, unsignedSeed(seed + index)),
      stop: stopStrings(body.stop),
      ignoreEos: body.ignore_eos ?? false,
      ...(typeof body.logprobs === 'number' ? { logprobs: body.logprobs } : {}),
      echo: body.echo ?? false,
      cachePrompt: body.cache_prompt ?? true,
      tokenHealing: body.token_healing ?? true,
      isWhole: body.stream !== true,
      ...(speculation === undefined ? {} : { speculation }),
    })),
  );
}
