import type { FastifyInstance } from 'fastify';
import { randomUUID } from 'node:crypto';
import { clientSignal } from '../client-signal.ts';
import { completionChunks, wholeCompletion, type CompletionOptions } from '../completion-chunks.ts';
import { generationRequests } from '../completion-request.ts';
import type { EngineGate } from '../engine-gate.ts';
import { errorBody, publicError } from '../error-body.ts';
import { completionRequestSchema, completionSchema, type CompletionRequest } from '../schemas/completion.ts';
import { errorSchema } from '../schemas/error.ts';
import { sseHeaders, sseStream, started } from '../sse.ts';

const schema = {
  summary: 'Complete a text',
  tags: ['generation'],
  body: completionRequestSchema,
  response: {
    200: {
      description: 'The completion, or with `stream` server-sent events of its parts, ended by `[DONE]`.',
      content: {
        'application/json': { schema: completionSchema },
        'text/event-stream': { schema: completionSchema },
      },
    },
    '4xx': errorSchema,
    '5xx': errorSchema,
  },
};

function optionsOf(body: CompletionRequest, model: string, numChoices: number): CompletionOptions {
  const numChoicesPerPrompt = body.n ?? 1;
  return {
    id: `cmpl-${randomUUID().replaceAll('-', '')}`,
    created: Math.floor(Date.now() / 1000),
    model,
    numPrompts: numChoices / numChoicesPerPrompt,
    numChoicesPerPrompt,
    withLogprobs: typeof body.logprobs === 'number',
    withTokenSources: body.return_token_sources ?? false,
    withUsageChunk: body.stream === true && (body.stream_options?.include_usage ?? false),
  };
}

export async function completionRoutes(app: FastifyInstance, { gate }: { gate: EngineGate }): Promise<void> {
  app.post<{ Body: CompletionRequest }>('/v1/completions', { schema }, async (request, reply) => {
    gate.assertReady();
    const { body } = request;
    const requests = generationRequests(body, gate.model);
    const options = optionsOf(body, gate.model.id, requests.length);
    const chunks = completionChunks(gate.generate(requests, clientSignal(reply)), options);
    if (body.stream !== true) return reply.send(await wholeCompletion(chunks, options));
    const stream = sseStream(await started(chunks), (error) => errorBody(publicError(error, request.log)));
    return reply.headers(sseHeaders).send(stream);
  });
}
