/**
 * The HTTP and WebSocket surface, put together from its parts. Never listens, loads no model and reads no settings:
 * what it needs are its arguments.
 */
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import type { Socket } from 'node:net';
import { ForetokenError } from '../errors.ts';
import type { EngineGate } from './engine-gate.ts';
import { errorBody } from './error-body.ts';
import closing from './plugins/closing.ts';
import errors, { sendError } from './plugins/errors.ts';
import jsonBody from './plugins/json-body.ts';
import openapi from './plugins/openapi.ts';
import requestLog from './plugins/request-log.ts';
import websocket from './plugins/websocket.ts';
import { chatCompletionRoutes } from './routes/chat-completions.ts';
import { completionRoutes } from './routes/completions.ts';
import { healthRoutes } from './routes/health.ts';
import { metricsRoutes, type MetricsSource } from './routes/metrics.ts';
import { modelRoutes } from './routes/models.ts';
import { responseRoutes } from './routes/responses.ts';
import { rootRoutes } from './routes/root.ts';

export interface AppDependencies {
  readonly gate: EngineGate;
  readonly metrics: MetricsSource;
  readonly logger: FastifyBaseLogger;
  readonly version: string;
  readonly maxBodyBytes: number;
  readonly pingIntervalMs?: number;
}

const defaultPingIntervalMs = 30_000;

export async function buildApp(dependencies: AppDependencies): Promise<FastifyInstance> {
  const { gate, metrics, logger, version, maxBodyBytes } = dependencies;
  const { pingIntervalMs = defaultPingIntervalMs } = dependencies;
  const app: FastifyInstance = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maxBodyBytes,
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
    frameworkErrors(error, _request, reply) {
      void sendError(reply, error);
    },
    clientErrorHandler: answerBrokenHttp,
  });
  // Response schemas are documentation; a serializer made from them would drop what they forget.
  app.setSerializerCompiler(() => (payload) => JSON.stringify(payload));

  await app.register(errors);
  await app.register(jsonBody);
  await app.register(closing);
  await app.register(requestLog);
  await app.register(openapi, { version });
  await app.register(websocket, { maxMessageBytes: maxBodyBytes, pingIntervalMs });
  await app.register(completionRoutes, { gate });
  await app.register(chatCompletionRoutes, { gate });
  await app.register(responseRoutes, { gate, maxMessageBytes: maxBodyBytes });
  await app.register(modelRoutes, { gate });
  await app.register(healthRoutes, { gate });
  await app.register(metricsRoutes, { metrics });
  await app.register(rootRoutes);
  return app;
}

/** Bytes that are no HTTP reach no route. */
function answerBrokenHttp(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const refusal = new ForetokenError(
    'invalid_request',
    'the request is not valid HTTP/1.1, or its headers are too large',
  );
  const body = JSON.stringify(errorBody(refusal));
  const head = `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json; charset=utf-8\r\nconnection: close`;
  socket.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}
