/** What clients send on the socket: OpenAI's Responses WebSocket mode. */
import { Type, type Static } from 'typebox';
import { generationFields } from './generation-fields.ts';
import { nullable } from './nullable.ts';

const inputText = Type.Object(
  { type: Type.Literal('input_text'), text: Type.String() },
  { additionalProperties: false, 'x-expected': 'a part of type "input_text" with its text' },
);

const inputMessage = Type.Object(
  {
    type: Type.Optional(Type.Literal('message')),
    role: Type.Union([
      Type.Literal('user'),
      Type.Literal('assistant'),
      Type.Literal('system'),
      Type.Literal('developer'),
    ]),
    content: Type.Union([Type.String(), Type.Array(inputText, { minItems: 1 })], {
      'x-expected': 'a string or an array of input_text parts',
    }),
  },
  { additionalProperties: false, 'x-expected': 'a message with role and content' },
);

const eventId = nullable(
  Type.String({ maxLength: 512, description: 'Comes back in an error that this event causes.' }),
);

export const responseCreateSchema = Type.Object(
  {
    type: Type.Literal('response.create'),
    event_id: eventId,
    input: Type.Optional(
      Type.Union([Type.String(), Type.Array(inputMessage, { minItems: 1 }), Type.Null()], {
        'x-expected': 'a string or a non-empty array of messages',
      }),
    ),
    prompt: Type.Optional(
      Type.Union([Type.String(), Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1 }), Type.Null()], {
        description: 'Raw text or token ids, in place of `input`.',
        'x-expected': 'a string or a non-empty array of token ids',
      }),
    ),
    instructions: nullable(Type.String()),
    max_output_tokens: nullable(Type.Integer({ minimum: 1, default: 256 })),
    metadata: nullable(Type.Record(Type.String(), Type.String(), { maxProperties: 16 })),
    store: Type.Optional(
      Type.Union([Type.Literal(false), Type.Null()], { 'x-expected': 'false, since nothing is stored' }),
    ),
    stream: Type.Optional(
      Type.Union([Type.Literal(true), Type.Null()], { 'x-expected': 'true, since a socket always streams' }),
    ),
    ...generationFields,
  },
  { additionalProperties: false },
);
export type ResponseCreate = Static<typeof responseCreateSchema>;

export const responseCancelSchema = Type.Object(
  { type: Type.Literal('response.cancel'), event_id: eventId, response_id: Type.String({ minLength: 1 }) },
  { additionalProperties: false },
);
export type ResponseCancel = Static<typeof responseCancelSchema>;
