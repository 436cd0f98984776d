import { Type, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import type { ModelDescription } from '../../engine/generation.ts';
import type { EngineGate } from '../engine-gate.ts';
import { assertModel } from '../generation-request.ts';
import { errorSchema } from '../schemas/error.ts';
import { modelListSchema, modelSchema, type Model } from '../schemas/model.ts';

function modelBody(model: ModelDescription): Model {
  return {
    id: model.id,
    object: 'model',
    created: model.created,
    owned_by: 'foretoken',
    max_model_len: model.maxModelLength,
    speculative: { method: 'mtp', num_spec_tokens: model.numSpecTokens },
  };
}

export async function modelRoutes(app: FastifyInstance, { gate }: { gate: EngineGate }): Promise<void> {
  const typed = app.withTypeProvider<TypeBoxTypeProvider>();
  const tags = ['models'];

  const listSchema = {
    summary: 'The loaded model, as a list',
    tags,
    response: { 200: modelListSchema, '5xx': errorSchema },
  };
  typed.get('/v1/models', { schema: listSchema }, () => ({
    object: 'list' as const,
    data: [modelBody(gate.model)],
  }));

  const oneSchema = {
    summary: 'One model',
    tags,
    params: Type.Object({ id: Type.String() }),
    response: { 200: modelSchema, '4xx': errorSchema, '5xx': errorSchema },
  };
  typed.get('/v1/models/:id', { schema: oneSchema }, ({ params }) => {
    const { model } = gate;
    assertModel(params.id, model);
    return modelBody(model);
  });
}
