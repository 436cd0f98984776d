/** Every way a request or a start can be refused, by a stable code. */
export type ErrorCode =
  // the request
  | 'invalid_request'
  | 'context_length_exceeded'
  | 'kv_cache_exceeded'
  | 'model_not_found'
  | 'route_not_found'
  | 'response_not_found'
  | 'chat_template_missing'
  | 'suffix_not_supported'
  | 'body_too_large'
  | 'receive_timeout'
  // the client
  | 'invalid_api_key'
  | 'origin_not_allowed'
  | 'rate_limit_exceeded'
  // the server
  | 'queue_full'
  | 'deadline_exceeded'
  | 'model_loading'
  | 'server_draining'
  | 'engine_failed'
  | 'internal_error'
  // the start
  | 'invalid_setting'
  | 'invalid_model';

export interface RefusalOptions extends ErrorOptions {
  /** When trying again will help, if that is known better than by the code. */
  readonly retryAfterSeconds?: number;
}

/** A refusal that says what was expected and what came. `param` names the offending field, flag or file. */
export class ForetokenError extends Error {
  readonly code: ErrorCode;
  readonly param: string | null;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, param: string | null = null, options?: RefusalOptions) {
    super(message, options);
    this.name = 'ForetokenError';
    this.code = code;
    this.param = param;
    this.retryAfterSeconds = options?.retryAfterSeconds;
  }
}
