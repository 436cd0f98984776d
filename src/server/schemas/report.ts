/** What every answer reports of its own making, as documented; made in metrics/generation-report.ts. */
import { Type } from 'typebox';

const count = Type.Integer({ minimum: 0 });
const rate = Type.Number({ minimum: 0, maximum: 1 });
const amount = Type.Number({ minimum: 0 });

export const usageSchema = Type.Object({
  prompt_tokens: count,
  completion_tokens: count,
  total_tokens: count,
  prompt_tokens_details: Type.Object({
    cached_tokens: Type.Integer({
      minimum: 0,
      description: 'Prompt tokens taken over from other requests, not computed.',
    }),
  }),
});

const draftCounts = (description: string) =>
  Type.Object(
    { num_spec_steps: count, num_draft_tokens: count, num_accepted_draft_tokens: count },
    { description },
  );

const speculativeDecodingSchema = Type.Object({
  num_spec_steps: Type.Integer({ minimum: 0, description: 'Verify rounds that had at least one draft.' }),
  num_draft_tokens: Type.Integer({ minimum: 0, description: 'Drafts that were verified.' }),
  num_accepted_draft_tokens: count,
  draft_acceptance_rate: Type.Number({ minimum: 0, maximum: 1, description: 'Accepted / drafted.' }),
  mean_acceptance_length: Type.Number({ minimum: 1, description: '1 + accepted / rounds that drafted.' }),
  acceptance_histogram: Type.Array(count, { description: 'Rounds that accepted 0, 1, 2, ... drafts.' }),
  acceptance_rate_per_position: Type.Array(rate, { description: 'Of all rounds that drafted.' }),
  conditional_acceptance_rate_per_position: Type.Array(rate, {
    description: 'Of the rounds that reached it.',
  }),
  num_spec_tokens: count,
  prompt_lookup: draftCounts(
    'The part of the above that was not drafted by the model but looked up in prompt and output.',
  ),
  earlier_text: draftCounts(
    'The part of the above that was looked up in what an earlier request that began alike went on with.',
  ),
});

const speedupSchema = Type.Object(
  {
    factor: Type.Number({ minimum: 0, description: 'baseline_seconds / decode_seconds' }),
    method: Type.Union([Type.Literal('calibrated'), Type.Literal('measured')]),
    decode_seconds: amount,
    baseline_seconds: Type.Number({ minimum: 0, description: 'The same tokens, one plain step each.' }),
    tokens_per_second: amount,
    baseline_tokens_per_second: amount,
    identical: Type.Optional(
      Type.Boolean({
        description: 'Only measured: whether the replay without speculation gave the same tokens.',
      }),
    ),
  },
  { description: 'Null where nothing was decoded after the first token.' },
);

export const metricsSchema = Type.Object({
  speculative_decoding: speculativeDecodingSchema,
  speedup: Type.Union([speedupSchema, Type.Null()]),
  timings: Type.Object({
    queue_seconds: amount,
    prefill_seconds: amount,
    time_to_first_token_seconds: amount,
    draft_seconds: amount,
    verify_seconds: amount,
    sample_seconds: amount,
  }),
});

export const llamaTimingsSchema = Type.Object({
  cache_n: Type.Integer({ minimum: 0, description: 'Prompt tokens taken over from earlier requests.' }),
  prompt_n: Type.Integer({ minimum: 0, description: 'Prompt tokens computed.' }),
  prompt_ms: amount,
  predicted_n: count,
  predicted_ms: amount,
  predicted_per_second: amount,
  draft_n: count,
  draft_n_accepted: count,
});
