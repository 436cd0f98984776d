import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { ForetokenError } from '../../errors.ts';
import type { ApiKeys } from '../api-keys.ts';

export type PublicRoute = 'metrics' | 'docs';

export interface AuthenticationOptions {
  /** Null: whoever comes is served. */
  readonly keys: ApiKeys | null;
  readonly publicRoutes: readonly PublicRoute[];
}

/** Bearer tokens as OpenAI takes them. */
function shownKey({ headers }: FastifyRequest): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
}

/** By the route that was found, not by the path that was asked for. */
function routeKind(request: FastifyRequest): 'probe' | PublicRoute | null {
  switch (request.routeOptions.url) {
    case undefined:
      return null;
    case '/health':
    case '/ready':
      return 'probe';
    case '/metrics':
      return 'metrics';
    case '/':
    case '/openapi.json':
    case '/docs':
      return 'docs';
    default:
      return /^\/(docs|playground)\//.test(request.routeOptions.url) ? 'docs' : null;
  }
}

/** Throws unless the request may know more than that there is a server. */
export function authenticate(request: FastifyRequest, { keys, publicRoutes }: AuthenticationOptions): void {
  const kind = routeKind(request);
  if (keys === null || kind === 'probe' || (kind !== null && publicRoutes.includes(kind))) return;
  const key = shownKey(request);
  const name = key === undefined ? null : keys.nameOf(key);
  if (name === null) {
    const got = key === undefined ? 'none' : 'an unknown one';
    throw new ForetokenError(
      'invalid_api_key',
      `expected an API key as "Authorization: Bearer KEY", got ${got}`,
    );
  }
  request.keyName = name;
}

/** Comes before anything else learns of a request: its body is not read, and whether its route exists is not said. */
async function authentication(app: FastifyInstance, options: AuthenticationOptions): Promise<void> {
  app.decorateRequest('keyName', null);
  app.addHook('onRequest', async (request) => authenticate(request, options));
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The name of the key that was shown; null where none was needed. */
    keyName: string | null;
  }
}

export default fp(authentication, { name: 'authentication' });
