/** The fields that every way of asking for text shares. */
import { Type, type Static } from 'typebox';
import { nullable } from './nullable.ts';

export const maxStopStrings = 4;

const speculationObject = Type.Object(
  {
    num_draft_tokens: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: "Most drafts a round may verify; at most the model's maximum.",
      }),
    ),
    adaptive: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          'Whether each round chooses its depth, up to the maximum, by measured cost; else it is fixed.',
      }),
    ),
    measure_baseline: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Replays the request without speculation afterwards and reports the measured speedup.',
      }),
    ),
  },
  { additionalProperties: false },
);

export const speculationField = Type.Optional(
  Type.Union([Type.Literal('auto'), Type.Literal('off'), speculationObject, Type.Null()], {
    description: 'How to speculate. The text never depends on it.',
    'x-expected': '"auto", "off" or an object with num_draft_tokens, adaptive and measure_baseline',
  }),
);

export const generationFields = {
  model: nullable(Type.String({ description: 'The id of the loaded model, which is also the default.' })),
  temperature: nullable(Type.Number({ minimum: 0, maximum: 2, default: 1, description: '0 is greedy.' })),
  top_p: nullable(Type.Number({ exclusiveMinimum: 0, maximum: 1, default: 1 })),
  top_k: nullable(Type.Integer({ minimum: -1, default: 0, description: '0 or -1 is off.' })),
  min_p: nullable(Type.Number({ minimum: 0, maximum: 1, default: 0 })),
  presence_penalty: nullable(Type.Number({ minimum: -2, maximum: 2, default: 0 })),
  frequency_penalty: nullable(Type.Number({ minimum: -2, maximum: 2, default: 0 })),
  repetition_penalty: nullable(Type.Number({ exclusiveMinimum: 0, maximum: 2, default: 1 })),
  logit_bias: nullable(
    Type.Record(Type.String(), Type.Number({ minimum: -100, maximum: 100 }), {
      description: 'Token id to a number added to its logit.',
    }),
  ),
  seed: nullable(
    Type.Integer({
      minimum: Number.MIN_SAFE_INTEGER,
      maximum: Number.MAX_SAFE_INTEGER,
      description:
        'Taken modulo 2^32. The same seed gives the same text, whatever the speculation. Random if absent.',
    }),
  ),
  stop: Type.Optional(
    Type.Union(
      [
        Type.String({ minLength: 1 }),
        Type.Array(Type.String({ minLength: 1 }), {
          maxItems: maxStopStrings,
          'x-expected': `an array of at most ${maxStopStrings} non-empty strings`,
        }),
        Type.Null(),
      ],
      {
        description: 'Generation ends before the first of these; none is part of the text.',
        'x-expected': `a non-empty string or an array of at most ${maxStopStrings} of them`,
      },
    ),
  ),
  ignore_eos: nullable(Type.Boolean({ default: false, description: 'Go on past the end-of-text token.' })),
  suffix: nullable(Type.String({ description: 'Text after the gap to be filled, for models that can.' })),
  user: nullable(Type.String({ description: 'Accepted for compatibility, and not used.' })),
  cache_prompt: nullable(
    Type.Boolean({
      default: true,
      description:
        'Whether to take over what earlier requests computed of the same beginning of a prompt, and to keep this ' +
        "one's. The text never depends on it.",
    }),
  ),
  token_healing: nullable(
    Type.Boolean({
      default: true,
      description:
        "Whether a prompt's last tokens may give way to one that begins with their text and goes on, where the model prefers " +
        'it: a prompt may then end within a word or an indent. Not where the prompt is token ids, nor with logprobs.',
    }),
  ),
  speculation: speculationField,
  return_token_sources: nullable(
    Type.Boolean({ default: false, description: 'Says of each token whether it was an accepted draft.' }),
  ),
};

const generationFieldsSchema = Type.Object(generationFields);
export type GenerationFields = Static<typeof generationFieldsSchema>;
