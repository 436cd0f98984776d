import type { FastifyInstance } from 'fastify';
import { randomUUID } from 'node:crypto';
import { clientOf } from '../client.ts';
import { completionChunks, wholeCompletion, type CompletionOptions } from '../completion-chunks.ts';
import { generationRequests } from '../completion-request.ts';
import type { EngineGate } from '../engine-gate.ts';
import { errorBody, publicError } from '../error-body.ts';
import type { CountRequest } from '../request-rate.ts';
import { requestSignal } from '../request-signal.ts';
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

export interface GenerationRouteOptions {
  readonly gate: EngineGate;
  readonly countRequest: CountRequest;
  /** From a request's arrival; 0: none. */
  readonly requestTimeoutMs: number;
}

export async function completionRoutes(app: FastifyInstance, options: GenerationRouteOptions): Promise<void> {
  const { gate, countRequest, requestTimeoutMs } = options;
  const route = { schema, onRequest: countRequest };
  app.post<{ Body: CompletionRequest }>('/v1/completions', route, async (request, reply) => {
    gate.assertReady();
    const { body } = request;
    const requests = generationRequests(body, gate.model);
    const chunkOptions = optionsOf(body, gate.model.id, requests.length);
    const caller = { client: clientOf(request), signal: requestSignal(reply, requestTimeoutMs) };
    const chunks = completionChunks(gate.generate(requests, caller), chunkOptions);
    if (body.stream !== true) return reply.send(await wholeCompletion(chunks, chunkOptions));
    const stream = sseStream(await started(chunks), (error) => errorBody(publicError(error, request.log)));
    return reply.headers(sseHeaders).send(stream);
  });
}
