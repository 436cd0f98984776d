import type { FastifyInstance, FastifyReply } from 'fastify';
import fp from 'fastify-plugin';
import { ForetokenError } from '../../errors.ts';
import { errorBody, httpStatus, publicError, retryAfterSeconds } from '../error-body.ts';
import { validationError } from '../validation-message.ts';

interface FastifyFault extends Error {
  readonly validation?: unknown;
  readonly statusCode?: unknown;
  readonly code?: unknown;
}

/** Fastify's own refusals, in our words. Undefined for what is no fault of the request. */
function requestFault(error: unknown): ForetokenError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { validation, statusCode, code }: FastifyFault = error;
  if (Array.isArray(validation)) return validationError(validation);
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new ForetokenError('invalid_request', 'content-type: expected application/json', 'content-type');
  }
  if (code === 'ECONNRESET') return new ForetokenError('invalid_request', 'the request ended too early');
  if (statusCode === 413) return new ForetokenError('body_too_large', 'body: larger than the server accepts');
  if (typeof statusCode !== 'number' || statusCode < 400 || statusCode >= 500) return undefined;
  return new ForetokenError('invalid_request', error.message);
}

export function sendError(reply: FastifyReply, thrown: unknown): FastifyReply {
  const error = requestFault(thrown) ?? publicError(thrown, reply.log);
  const retryAfter = retryAfterSeconds(error);
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter);
  if (error.code === 'invalid_api_key') reply.header('www-authenticate', 'Bearer');
  reply.log.debug({ code: error.code, param: error.param }, 'request refused');
  return reply.code(httpStatus(error.code)).type('application/json; charset=utf-8').send(errorBody(error));
}

/** Every refusal and failure, of any route and of none, in OpenAI's error shape. */
async function errors(app: FastifyInstance): Promise<void> {
  app.setErrorHandler((error, _request, reply) => sendError(reply, error));
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]!.slice(0, 100);
    return sendError(reply, new ForetokenError('route_not_found', `no route ${request.method} ${path}`));
  });
}

export default fp(errors, { name: 'errors' });
