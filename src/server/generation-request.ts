/** From the fields of a request, as validated, to what the engine is asked for. */
import type { SamplingParams } from '../decoding/sampling-params.ts';
import type { ModelDescription, SpeculationSettings } from '../engine/generation.ts';
import { ForetokenError } from '../errors.ts';
import type { GenerationFields } from './schemas/generation-fields.ts';

/** Any safe integer as unsigned 32 bits: the remainder modulo 2^32. */
export function unsignedSeed(seed: number): number {
  return Number(BigInt.asUintN(32, BigInt(seed)));
}

export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

export function assertModel(requested: string | null | undefined, model: ModelDescription): void {
  if (requested === undefined || requested === null || requested === model.id) return;
  const message = `model: expected "${model.id}", got ${JSON.stringify(requested.slice(0, 100))}`;
  throw new ForetokenError('model_not_found', message, 'model');
}

export function assertTokenIds(tokenIds: readonly number[], model: ModelDescription, field: string): void {
  const index = tokenIds.findIndex((tokenId) => tokenId >= model.vocabSize);
  if (index < 0) return;
  const name = `${field}[${index}]`;
  const message = `${name}: expected a token id from 0 to ${model.vocabSize - 1}, got ${tokenIds[index]}`;
  throw new ForetokenError('invalid_request', message, name);
}

function logitBias(fields: GenerationFields, model: ModelDescription): Map<number, number> {
  const entries = Object.entries(fields.logit_bias ?? {});
  for (const [key] of entries) {
    if (/^(0|[1-9]\d*)$/.test(key) && Number(key) < model.vocabSize) continue;
    const got = JSON.stringify(key.slice(0, 40));
    const message = `logit_bias: expected token ids from 0 to ${model.vocabSize - 1} as keys, got ${got}`;
    throw new ForetokenError('invalid_request', message, 'logit_bias');
  }
  return new Map(entries.map(([key, bias]) => [Number(key), bias]));
}

export function samplingParams(
  fields: GenerationFields,
  model: ModelDescription,
  seed: number,
): SamplingParams {
  return {
    temperature: fields.temperature ?? 1,
    topP: fields.top_p ?? 1,
    topK: Math.max(fields.top_k ?? 0, 0),
    minP: fields.min_p ?? 0,
    presencePenalty: fields.presence_penalty ?? 0,
    frequencyPenalty: fields.frequency_penalty ?? 0,
    repetitionPenalty: fields.repetition_penalty ?? 1,
    logitBias: logitBias(fields, model),
    seed,
  };
}

/** Undefined leaves it to the server's default. */
export function speculationSettings(
  speculation: GenerationFields['speculation'],
  model: ModelDescription,
): SpeculationSettings | undefined {
  if (speculation === undefined || speculation === null) return undefined;
  if (speculation === 'off') return { maxDraftTokens: 0, adaptive: false, measureBaseline: false };
  const {
    num_draft_tokens,
    adaptive = true,
    measure_baseline = false,
  } = speculation === 'auto' ? {} : speculation;
  const maxDraftTokens = num_draft_tokens ?? model.numSpecTokens;
  if (maxDraftTokens > model.maxSpecTokens) {
    const field = 'speculation.num_draft_tokens';
    const message = `${field}: expected an integer from 1 to ${model.maxSpecTokens}, got ${maxDraftTokens}`;
    throw new ForetokenError('invalid_request', message, field);
  }
  return { maxDraftTokens, adaptive, measureBaseline: measure_baseline };
}

export function stopStrings(stop: GenerationFields['stop']): readonly string[] {
  if (stop === undefined || stop === null) return [];
  return typeof stop === 'string' ? [stop] : stop;
}
