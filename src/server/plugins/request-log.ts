import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';

/** nginx's status for a client that left before its answer; logged only, since nobody is there to read it. */
const clientClosedRequest = 499;

/** One line a request, without its body or query. Probes and scrapes only at debug level. */
async function requestLog(app: FastifyInstance): Promise<void> {
  app.addHook('onResponse', async (request, reply) => {
    const level = request.routeOptions.config.isProbe === true ? 'debug' : 'info';
    const statusCode = reply.raw.writableFinished ? reply.statusCode : clientClosedRequest;
    const { method, keyName } = request;
    const route = request.routeOptions.url ?? null;
    const durationMs = reply.elapsedTime;
    reply.log[level](
      { method, route, statusCode, durationMs, ...(keyName === null ? {} : { keyName }) },
      'request completed',
    );
  });
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Asked for by machines every few seconds. */
    isProbe?: boolean;
  }
}

export default fp(requestLog, { name: 'request-log' });
