/** Checks a request against the model and turns its prompt into token ids. Knows nothing of queues. */
import { ForetokenError } from '../errors.ts';
import type { FimFormat } from '../model/manifest.ts';
import type { TextTokenizer } from '../tokenizer/tokenizer.ts';
import type { GenerationRequest, ModelDescription, SpeculationSettings } from './generation.ts';
import { openEnd, type OpenToken } from './open-end.ts';

const END_OF_TEXT = '<|endoftext|>';

/** Throws ForetokenError naming the field. */
export function checkRequest(request: GenerationRequest, model: ModelDescription): void {
  if (typeof request.prompt !== 'string') checkTokenIds(request.prompt, 'prompt', model.vocabSize);
  checkTokenIds([...request.sampling.logitBias.keys()], 'logit_bias', model.vocabSize);
  if (request.suffix !== undefined && !model.supportsSuffix)
    throw new ForetokenError(
      'suffix_not_supported',
      `model '${model.id}' was not trained to fill in the middle`,
      'suffix',
    );
  if (request.suffix !== undefined && typeof request.prompt !== 'string')
    throw new ForetokenError(
      'invalid_request',
      "expected 'prompt' to be a string where 'suffix' is given",
      'prompt',
    );
  const drafts = request.speculation?.maxDraftTokens ?? 0;
  if (drafts > model.maxSpecTokens) {
    throw new ForetokenError(
      'invalid_request',
      `expected 'speculation.num_draft_tokens' to be at most ${model.maxSpecTokens}, got ${drafts}`,
      'speculation.num_draft_tokens',
    );
  }
}

function checkTokenIds(tokenIds: readonly number[], field: string, vocabSize: number): void {
  const index = tokenIds.findIndex(
    (tokenId) => !Number.isInteger(tokenId) || tokenId < 0 || tokenId >= vocabSize,
  );
  if (index === -1) return;
  throw new ForetokenError(
    'invalid_request',
    `expected token ids from 0 to ${vocabSize - 1} in '${field}', got ${tokenIds[index]} at index ${index}`,
    field,
  );
}

export interface EncodedPrompt {
  readonly tokenIds: readonly number[];
  /** The last of them that may give way to others. */
  readonly openEnd: readonly OpenToken[];
  readonly maxTokens: number;
}

/**
 * The prompt's ids, with the suffix in the order the model was trained for, and how many tokens may follow. An empty prompt is
 * the beginning of a text, as in OpenAI's API. `maxPositions`: tokens that a sequence without a limit of its own may
 * come to. Throws `context_length_exceeded` where the completion would not fit.
 */
export function encodePrompt(
  request: GenerationRequest,
  model: ModelDescription,
  tokenizer: TextTokenizer,
  fim: FimFormat | null,
  maxPositions = model.maxModelLength,
): EncodedPrompt {
  const tokenIds = promptIds(request, tokenizer, fim);
  const maxTokens = request.maxTokens ?? Math.max(1, maxPositions - tokenIds.length);
  const numTotal = tokenIds.length + maxTokens;
  if (numTotal > model.maxModelLength) {
    throw new ForetokenError(
      'context_length_exceeded',
      `This model's maximum context length is ${model.maxModelLength} tokens. However, you requested ${numTotal} tokens ` +
        `(${tokenIds.length} in the prompt, ${maxTokens} in the completion).`,
      tokenIds.length >= model.maxModelLength ? 'prompt' : 'max_tokens',
    );
  }
  return { tokenIds, openEnd: mayHeal(request) ? openEnd(tokenIds, tokenizer) : [], maxTokens };
}

/** Token ids are meant as they are; who asks for log probabilities wants those of the text as it is tokenised. */
function mayHeal({ prompt, logprobs, tokenHealing }: GenerationRequest): boolean {
  return typeof prompt === 'string' && prompt !== '' && logprobs === undefined && tokenHealing !== false;
}

function promptIds(
  request: GenerationRequest,
  tokenizer: TextTokenizer,
  fim: FimFormat | null,
): readonly number[] {
  const { prompt, suffix } = request;
  if (typeof prompt !== 'string') return prompt.length > 0 ? prompt : tokenizer.encode(END_OF_TEXT);
  if (suffix !== undefined && fim !== null) {
    const [before, after] = [tokenizer.encode(prompt), tokenizer.encode(suffix)];
    return fim.order === 'psm'
      ? [fim.prefix, ...before, fim.suffix, ...after, fim.middle]
      : [fim.prefix, fim.suffix, ...after, fim.middle, ...before];
  }
  return tokenizer.encode(prompt === '' ? END_OF_TEXT : prompt);
}

/** The request's own settings, or the server's; a model without an MTP module never drafts. */
export function resolveSpeculation(
  request: GenerationRequest,
  model: ModelDescription,
  server: { readonly speculation: 'auto' | 'off'; readonly numDraftTokens?: number },
): SpeculationSettings {
  const serverDrafts = server.speculation === 'off' ? 0 : (server.numDraftTokens ?? model.numSpecTokens);
  const wanted = request.speculation ?? {
    maxDraftTokens: serverDrafts,
    adaptive: true,
    measureBaseline: false,
  };
  return { ...wanted, maxDraftTokens: Math.min(wanted.maxDraftTokens, model.maxSpecTokens) };
}
