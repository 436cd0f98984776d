import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ForetokenError } from '../../errors.ts';
import { clientOf } from '../client.ts';
import { ResponseSocket, type Validator } from '../response-socket.ts';
import {
  responseCancelSchema,
  responseCreateSchema,
  type ResponseCancel,
  type ResponseCreate,
} from '../schemas/response.ts';
import type { GenerationRouteOptions } from './completions.ts';

export interface ResponseRouteOptions extends GenerationRouteOptions {
  /** Throws where the key that opened a socket is not valid any more. */
  readonly authenticate: (request: FastifyRequest) => void;
  readonly maxMessageBytes: number;
  readonly sendTimeoutMs: number;
}

type Compiled = ReturnType<FastifyRequest['compileValidationSchema']>;

function validator<Value>(compiled: Compiled): Validator<Value> {
  return {
    accepts: (value): value is Value => compiled(value),
    errors: () => compiled.errors ?? [],
  };
}

function refuse(): never {
  const message = 'responses are streamed over a WebSocket: GET /v1/responses with an upgrade';
  throw new ForetokenError('route_not_found', message);
}

export async function responseRoutes(app: FastifyInstance, options: ResponseRouteOptions): Promise<void> {
  const { gate, authenticate, countRequest, ...limits } = options;
  app.route({
    method: 'GET',
    url: '/v1/responses',
    schema: { hide: true },
    exposeHeadRoute: false,
    handler: refuse,
    wsHandler(socket, request) {
      // Compiled once: Fastify keeps validators by their schema.
      const validateCreate = validator<ResponseCreate>(request.compileValidationSchema(responseCreateSchema));
      const validateCancel = validator<ResponseCancel>(request.compileValidationSchema(responseCancelSchema));
      // The socket lives on by its listeners.
      void new ResponseSocket(socket, {
        ...limits,
        gate,
        log: request.log,
        client: clientOf(request),
        validateCreate,
        validateCancel,
        async assertMayCreate() {
          authenticate(request);
          await countRequest(request);
        },
      });
    },
  });
  app.post('/v1/responses', { schema: { hide: true } }, refuse);
}
