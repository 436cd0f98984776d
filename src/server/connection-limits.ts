/** How long connections may take and how many there may be: what holds against clients that are slow on purpose. */
import type { FastifyBaseLogger } from 'fastify';
import type { Server } from 'node:http';

export interface ConnectionLimits {
  /** 0: any number. */
  readonly maxConnections: number;
  /** To send the head of a request. */
  readonly headersTimeoutMs: number;
  /** To send a request with its body. */
  readonly receiveTimeoutMs: number;
  /** For which a reader may take nothing of what is there for it. */
  readonly sendTimeoutMs: number;
  /** Between two requests. */
  readonly keepAliveTimeoutMs: number;
  readonly maxRequestsPerConnection: number;
  /** How often Node looks for connections that are late. */
  readonly checkIntervalMs: number;
  readonly pingIntervalMs: number;
}

export const defaultConnectionLimits: ConnectionLimits = {
  maxConnections: 4096,
  headersTimeoutMs: 15_000,
  receiveTimeoutMs: 60_000,
  sendTimeoutMs: 30_000,
  // Longer than the 60 s of usual load balancers, which must be the ones to close.
  keepAliveTimeoutMs: 72_000,
  maxRequestsPerConnection: 10_000,
  checkIntervalMs: 5000,
  pingIntervalMs: 30_000,
};

const dropLogIntervalMs = 10_000;

/** Connections over the limit are closed before a byte is read; the log says so, once in a while. */
export function limitConnections(server: Server, maxConnections: number, log: FastifyBaseLogger): void {
  if (maxConnections === 0) return;
  let numDropped = 0;
  let loggedAtMs = -Infinity;
  server.maxConnections = maxConnections;
  server.on('drop', () => {
    numDropped += 1;
    if (performance.now() - loggedAtMs < dropLogIntervalMs) return;
    log.warn({ maxConnections, numDropped }, 'too many connections, closing new ones');
    numDropped = 0;
    loggedAtMs = performance.now();
  });
}
