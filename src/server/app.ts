/**
 * The HTTP and WebSocket surface, put together from its parts. Never listens, loads no model and reads no settings:
 * what it needs are its arguments.
 */
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { ForetokenError } from '../errors.ts';
import type { ApiKeys } from './api-keys.ts';
import { defaultConnectionLimits, limitConnections, type ConnectionLimits } from './connection-limits.ts';
import type { EngineGate } from './engine-gate.ts';
import { errorBody, httpStatus } from './error-body.ts';
import authentication, { authenticate, type PublicRoute } from './plugins/authentication.ts';
import browsers from './plugins/browsers.ts';
import closing from './plugins/closing.ts';
import errors, { sendError } from './plugins/errors.ts';
import jsonBody from './plugins/json-body.ts';
import openapi from './plugins/openapi.ts';
import requestLog from './plugins/request-log.ts';
import stalledReaders from './plugins/stalled-readers.ts';
import websocket from './plugins/websocket.ts';
import { requestRate } from './request-rate.ts';
import { chatCompletionRoutes } from './routes/chat-completions.ts';
import { completionRoutes } from './routes/completions.ts';
import { healthRoutes } from './routes/health.ts';
import { metricsRoutes, type MetricsSource } from './routes/metrics.ts';
import { modelRoutes } from './routes/models.ts';
import { playgroundRoutes } from './routes/playground.ts';
import { responseRoutes } from './routes/responses.ts';

export interface AppDependencies {
  readonly gate: EngineGate;
  readonly metrics: MetricsSource;
  readonly logger: FastifyBaseLogger;
  readonly version: string;
  readonly maxBodyBytes: number;
  /** Null or absent: whoever comes is served. */
  readonly keys?: ApiKeys | null;
  readonly publicRoutes?: readonly PublicRoute[];
  /** Generations that a client may ask for; 0 or absent: any number. */
  readonly requestsPerMinute?: number;
  /** From a request's arrival; 0 or absent: none. */
  readonly requestTimeoutMs?: number;
  readonly corsOrigins?: readonly string[];
  /** Addresses and ranges whose X-Forwarded headers are believed. */
  readonly trustedProxies?: readonly string[];
  readonly connections?: Partial<ConnectionLimits>;
}

export async function buildApp(dependencies: AppDependencies): Promise<FastifyInstance> {
  const { gate, metrics, logger, version, maxBodyBytes } = dependencies;
  const { keys = null, publicRoutes = [], corsOrigins = [], trustedProxies = [] } = dependencies;
  const { requestsPerMinute = 0, requestTimeoutMs = 0 } = dependencies;
  const connections = { ...defaultConnectionLimits, ...dependencies.connections };
  const { receiveTimeoutMs, sendTimeoutMs, pingIntervalMs } = connections;
  const access = { keys, publicRoutes };
  const app: FastifyInstance = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maxBodyBytes,
    // No parameter is matched by an expression that length could slow down; a long one is refused by its route.
    routerOptions: { maxParamLength: 64 * 1024 },
    trustProxy: trustedProxies.length > 0 && [...trustedProxies],
    requestTimeout: receiveTimeoutMs,
    keepAliveTimeout: connections.keepAliveTimeoutMs,
    maxRequestsPerSocket: connections.maxRequestsPerConnection,
    http: {
      headersTimeout: Math.min(connections.headersTimeoutMs, receiveTimeoutMs),
      connectionsCheckingInterval: connections.checkIntervalMs,
    },
    // Its 503 is not in our shape; the gate refuses in our words what comes while the server closes.
    return503OnClosing: false,
    ajv: {
      customOptions: {
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: false,
        allowUnionTypes: true,
        // Errors then carry the value and the schema that refused it.
        verbose: true,
        keywords: ['x-expected'],
      },
    },
    frameworkErrors(error, request, reply) {
      void sendError(reply, refusalOf(() => authenticate(request, access)) ?? error);
    },
    clientErrorHandler: answerBrokenHttp,
  });
  limitConnections(app.server, connections.maxConnections, logger);
  // Response schemas are documentation; a serializer made from them would drop what they forget.
  app.setSerializerCompiler(() => (payload) => JSON.stringify(payload));

  await app.register(errors);
  await app.register(closing);
  await app.register(requestLog);
  await app.register(websocket, { maxMessageBytes: maxBodyBytes, pingIntervalMs });
  // A browser asks without a key whether it may ask.
  await app.register(browsers, { corsOrigins });
  await app.register(authentication, access);
  await app.register(stalledReaders, { sendTimeoutMs });
  await app.register(jsonBody);
  await app.register(openapi, { version, hasKeys: keys !== null });
  const countRequest = await requestRate(app, requestsPerMinute);
  const generation = { gate, countRequest, requestTimeoutMs };
  await app.register(completionRoutes, generation);
  await app.register(chatCompletionRoutes, { gate });
  await app.register(responseRoutes, {
    ...generation,
    authenticate: (request) => authenticate(request, access),
    maxMessageBytes: maxBodyBytes,
    sendTimeoutMs,
  });
  await app.register(modelRoutes, { gate });
  await app.register(healthRoutes, { gate });
  await app.register(metricsRoutes, { metrics });
  await app.register(playgroundRoutes);
  return app;
}

function refusalOf(check: () => void): unknown {
  try {
    check();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Bytes that are no HTTP, or too slow, reach no route. */
function answerBrokenHttp(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const refusal =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? new ForetokenError('receive_timeout', 'the request did not come in time')
      : new ForetokenError(
          'invalid_request',
          'the request is not valid HTTP/1.1, or its headers are too large',
        );
  const status = httpStatus(refusal.code);
  const body = JSON.stringify(errorBody(refusal));
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json; charset=utf-8`;
  const length = `content-length: ${Buffer.byteLength(body)}`;
  socket.end(`${head}\r\nconnection: close\r\n${length}\r\n\r\n${body}`);
}
