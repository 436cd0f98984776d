import cors from '@fastify/cors';
import helmet from '@fastify/helmet';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { ForetokenError } from '../../errors.ts';

export interface BrowserOptions {
  /** Other origins whose pages may ask; `*` for any. */
  readonly corsOrigins: readonly string[];
}

/** Browsers open sockets across origins without asking, so that the server has to look. Others send no origin. */
function assertSameOrigin(request: FastifyRequest, allowed: readonly string[]): void {
  const { origin } = request.headers;
  if (origin === undefined || allowed.includes(origin) || allowed.includes('*')) return;
  if (URL.canParse(origin) && new URL(origin).host === request.host) return;
  const message = `origin: expected the server's own or one of --cors-origin, got ${JSON.stringify(origin.slice(0, 100))}`;
  throw new ForetokenError('origin_not_allowed', message);
}

/** What a browser may do with answers, and which pages may ask for them. */
async function browsers(app: FastifyInstance, { corsOrigins }: BrowserOptions): Promise<void> {
  await app.register(helmet, {
    // Answers are data; the pages of /docs have a policy of their own.
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    // For whoever terminates TLS to say.
    strictTransportSecurity: false,
  });
  if (corsOrigins.length > 0) {
    await app.register(cors, {
      origin: [...corsOrigins],
      exposedHeaders: ['retry-after'],
      strictPreflight: false,
      maxAge: 600,
    });
  }
  app.addHook('onRequest', async (request) => {
    if (request.ws) assertSameOrigin(request, corsOrigins);
  });
}

export default fp(browsers, { name: 'browsers', dependencies: ['@fastify/websocket'] });
