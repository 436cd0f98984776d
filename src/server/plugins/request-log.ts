import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

/** nginx's status for a client that left before its answer; logged only, since nobody is there to read it. */
const clientClosedRequest = 499;

function logRequest({ method, keyName, routeOptions }: FastifyRequest, reply: FastifyReply): void {
  const level = routeOptions.config.isProbe === true ? 'debug' : 'info';
  const statusCode = reply.raw.writableFinished ? reply.statusCode : clientClosedRequest;
  const route = routeOptions.url ?? null;
  const durationMs = reply.elapsedTime;
  const key = keyName === null ? {} : { keyName };
  reply.log[level]({ method, route, statusCode, durationMs, ...key }, 'request completed');
}

/** One line a request, without its body or query. Probes and scrapes only at debug level. */
async function requestLog(app: FastifyInstance): Promise<void> {
  app.addHook('onRequest', async (request, reply) => {
    // Fastify's own hook does not hear of a client that leaves while its answer is sent.
    reply.raw.once('close', () => {
      if (!request.ws) logRequest(request, reply);
    });
  });
  // An upgrade that was refused; the connection of one that was not stays open.
  app.addHook('onResponse', async (request, reply) => {
    if (request.ws) logRequest(request, reply);
  });
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Asked for by machines every few seconds. */
    isProbe?: boolean;
  }
}

export default fp(requestLog, { name: 'request-log' });
