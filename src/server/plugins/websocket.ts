import websocketPlugin from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { WebSocket } from 'ws';

export interface WebsocketOptions {
  readonly maxMessageBytes: number;
  /** A peer that has not answered the last ping by the next one is dead. */
  readonly pingIntervalMs: number;
}

const closeHandshakeMs = 1000;

/** Sockets that are never left behind: dead peers are dropped, and closing the server closes every socket. */
async function websocket(app: FastifyInstance, options: WebsocketOptions): Promise<void> {
  const unanswered = new WeakSet<WebSocket>();

  await app.register(websocketPlugin, {
    // Above the limit that gets an error event, one that ends the connection with 1009.
    options: { maxPayload: options.maxMessageBytes * 2 },
    errorHandler(error, socket, request) {
      request.log.debug({ err: error }, 'socket failed');
      // ws has begun to close with the right code where the peer broke the protocol.
      if (socket.readyState === socket.OPEN) socket.close(1011, 'internal error');
    },
    preClose(done) {
      for (const socket of app.websocketServer.clients) socket.close(1001, 'server shutting down');
      const terminate = (): void => app.websocketServer.clients.forEach((socket) => socket.terminate());
      setTimeout(terminate, closeHandshakeMs).unref();
      app.websocketServer.close();
      done();
    },
  });

  app.websocketServer.on('connection', (socket: WebSocket) => {
    socket.on('pong', () => unanswered.delete(socket));
  });
  const heartbeat = setInterval(() => {
    for (const socket of app.websocketServer.clients) {
      if (unanswered.has(socket)) socket.terminate();
      unanswered.add(socket);
      socket.ping();
    }
  }, options.pingIntervalMs);
  heartbeat.unref();
  app.addHook('onClose', () => clearInterval(heartbeat));
}

export default fp(websocket, { name: 'websocket' });
