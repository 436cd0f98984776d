import { Type, type Static } from 'typebox';

export const modelSchema = Type.Object({
  id: Type.String(),
  object: Type.Literal('model'),
  created: Type.Integer({ description: 'Unix seconds.' }),
  owned_by: Type.String(),
  max_model_len: Type.Integer({ description: 'Context window: prompt plus completion, in tokens.' }),
  speculative: Type.Object({ method: Type.Literal('mtp'), num_spec_tokens: Type.Integer() }),
});
export type Model = Static<typeof modelSchema>;

export const modelListSchema = Type.Object({ object: Type.Literal('list'), data: Type.Array(modelSchema) });
