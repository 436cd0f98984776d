import { Type, type Static } from 'typebox';
import { generationFields } from './generation-fields.ts';
import { nullable } from './nullable.ts';
import { llamaTimingsSchema, metricsSchema, usageSchema } from './report.ts';

export const maxPrompts = 16;
export const maxChoicesPerPrompt = 16;

const tokenIds = Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1 });

export const completionRequestSchema = Type.Object(
  {
    prompt: Type.Union(
      [
        Type.String(),
        tokenIds,
        Type.Array(Type.String(), { minItems: 1, maxItems: maxPrompts }),
        Type.Array(tokenIds, { minItems: 1, maxItems: maxPrompts }),
      ],
      {
        description:
          'Text or token ids, or an array of either; choices are then in the order of the prompts.',
        'x-expected': `a string, a non-empty array of token ids, or an array of 1 to ${maxPrompts} of either`,
      },
    ),
    max_tokens: nullable(Type.Integer({ minimum: 1, default: 16 })),
    n: nullable(Type.Integer({ minimum: 1, maximum: maxChoicesPerPrompt, default: 1 })),
    best_of: nullable(Type.Integer({ minimum: 1, description: 'Only accepted where it is equal to n.' })),
    echo: nullable(Type.Boolean({ default: false })),
    logprobs: nullable(Type.Integer({ minimum: 0, maximum: 5 })),
    stream: nullable(Type.Boolean({ default: false })),
    stream_options: Type.Optional(
      Type.Union(
        [
          Type.Object(
            {
              include_usage: nullable(Type.Boolean({ default: false })),
              include_obfuscation: nullable(
                Type.Boolean({ description: 'Accepted for compatibility, and not used.' }),
              ),
            },
            { additionalProperties: false },
          ),
          Type.Null(),
        ],
        { 'x-expected': 'an object with include_usage' },
      ),
    ),
    ...generationFields,
  },
  { additionalProperties: false },
);
export type CompletionRequest = Static<typeof completionRequestSchema>;

export const tokenSourceSchema = Type.Object({
  id: Type.Integer(),
  text: Type.String(),
  source: Type.Union([Type.Literal('draft'), Type.Literal('target')]),
});
export type TokenSource = Static<typeof tokenSourceSchema>;

export const logprobsSchema = Type.Object({
  tokens: Type.Array(Type.String()),
  token_logprobs: Type.Array(Type.Union([Type.Number(), Type.Null()])),
  top_logprobs: Type.Array(Type.Union([Type.Record(Type.String(), Type.Number()), Type.Null()])),
  text_offset: Type.Array(Type.Integer()),
});
export type Logprobs = Static<typeof logprobsSchema>;

const choiceSchema = Type.Object({
  index: Type.Integer(),
  text: Type.String(),
  logprobs: Type.Union([logprobsSchema, Type.Null()]),
  finish_reason: Type.Union([Type.Literal('stop'), Type.Literal('length'), Type.Null()]),
  token_sources: Type.Optional(Type.Array(tokenSourceSchema)),
  metrics: Type.Optional(metricsSchema),
  timings: Type.Optional(llamaTimingsSchema),
});
export type CompletionChoice = Static<typeof choiceSchema>;

/** The whole answer, and in a stream each part of it. */
export const completionSchema = Type.Object({
  id: Type.String(),
  object: Type.Literal('text_completion'),
  created: Type.Integer({ description: 'Unix seconds.' }),
  model: Type.String(),
  choices: Type.Array(choiceSchema),
  usage: Type.Optional(Type.Union([usageSchema, Type.Null()])),
  metrics: Type.Optional(metricsSchema),
  timings: Type.Optional(llamaTimingsSchema),
});
export type Completion = Static<typeof completionSchema>;
