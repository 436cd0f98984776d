import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { Socket } from 'node:net';

/**
 * Drops the connection of an answer of which nothing is taken for so long; the request's signal then gives back what
 * it holds. Node's timer of a socket counts from the last bytes that moved, so that one which only waits for more
 * tokens must be told from one that is full.
 */
async function stalledReaders(
  app: FastifyInstance,
  { sendTimeoutMs }: { sendTimeoutMs: number },
): Promise<void> {
  app.addHook('onSend', async (request, reply, payload) => {
    const { socket } = request.raw;
    // A WebSocket is looked after by its sender, and what is injected has no connection.
    if (request.ws || !(socket instanceof Socket)) return payload;
    reply.raw.setTimeout(sendTimeoutMs, () => {
      if (socket.writableLength === 0) return;
      reply.log.warn({ sendTimeoutMs }, 'reader takes nothing, connection closed');
      socket.destroy();
    });
    // Before Node sets the time for the next request; an answer that waits behind this one starts without any.
    reply.raw.prependOnceListener('finish', () => socket.setTimeout(0));
    return payload;
  });
}

export default fp(stalledReaders, { name: 'stalled-readers', dependencies: ['@fastify/websocket'] });
