/** An error as clients see it: OpenAI's shape, over HTTP, in a stream and on a socket alike. */
import { randomUUID } from 'node:crypto';
import type { FastifyBaseLogger } from 'fastify';
import { ForetokenError, type ErrorCode } from '../errors.ts';

export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: ErrorCode };
}

const statusByCode: Record<ErrorCode, number> = {
  invalid_request: 400,
  context_length_exceeded: 400,
  kv_cache_exceeded: 400,
  chat_template_missing: 400,
  suffix_not_supported: 400,
  model_not_found: 404,
  route_not_found: 404,
  response_not_found: 404,
  receive_timeout: 408,
  body_too_large: 413,
  invalid_api_key: 401,
  origin_not_allowed: 403,
  rate_limit_exceeded: 429,
  queue_full: 429,
  deadline_exceeded: 504,
  model_loading: 503,
  server_draining: 503,
  engine_failed: 503,
  internal_error: 500,
  invalid_setting: 500,
  invalid_model: 500,
};

/** Seconds after which trying again may help; absent where it will not. */
const retryAfterByCode: Partial<Record<ErrorCode, number>> = {
  rate_limit_exceeded: 1,
  queue_full: 1,
  model_loading: 2,
  server_draining: 5,
};

export function httpStatus(code: ErrorCode): number {
  return statusByCode[code];
}

export function retryAfterSeconds(error: ForetokenError): number | undefined {
  return error.retryAfterSeconds ?? retryAfterByCode[error.code];
}

function errorType(status: number): string {
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}

export function errorBody(error: ForetokenError): ErrorBody {
  const { message, param, code } = error;
  return { error: { message, type: errorType(httpStatus(code)), param, code } };
}

/** What a client may know of any error: an unexpected one is logged under an id, and only the id goes out. */
export function publicError(error: unknown, log: FastifyBaseLogger): ForetokenError {
  if (error instanceof ForetokenError) return error;
  const errorId = randomUUID();
  log.error({ err: error, errorId }, 'unexpected error');
  return new ForetokenError('internal_error', `internal error ${errorId}: the server's log has the details`);
}
