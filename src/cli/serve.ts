/** `foretoken serve`: listens at once, loads the model meanwhile, and drains before it exits. */
import type { FastifyInstance } from 'fastify';
import { pino, type Logger } from 'pino';
import { readSettings, type Settings } from '../config.ts';
import { startEngine, type EngineOptions } from '../engine/engine.ts';
import type { Engine } from '../engine/generation.ts';
import { ForetokenError } from '../errors.ts';
import { PrometheusMetrics } from '../metrics/prometheus.ts';
import { buildApp, type AppDependencies } from '../server/app.ts';
import { EngineGate } from '../server/engine-gate.ts';
import { crashableWorker } from './crashable-worker.ts';
import { standardOutput } from './log-destination.ts';
import { version } from '../version.ts';
import { openApiKeys } from './api-key-file.ts';
import { drainOnSignal } from './drain.ts';

async function listen(app: FastifyInstance, { host, port }: Settings): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
    const reason = isTaken ? 'already in use' : String(error);
    throw new ForetokenError('invalid_setting', `cannot listen on ${host}:${port}: ${reason}`, '--port', {
      cause: error,
    });
  }
}

function engineOptions(settings: Settings, observer: PrometheusMetrics, logger: Logger): EngineOptions {
  return {
    modelFolder: settings.model,
    numThreads: settings.numThreads,
    numWorkers: settings.numWorkers,
    maxNumSeqs: settings.maxNumSeqs,
    maxQueue: settings.maxQueue,
    kvCacheMib: settings.kvCacheMib,
    prefixCache: settings.prefixCache === 'on',
    ...(settings.numDraftTokens > 0 ? { numDraftTokens: settings.numDraftTokens } : {}),
    speculation: settings.speculation,
    observer,
    logger,
  };
}

type AppSettings = Omit<AppDependencies, 'gate' | 'metrics' | 'logger' | 'version'>;

function appSettings(settings: Settings, logger: Logger): AppSettings {
  return {
    maxBodyBytes: Math.ceil(settings.maxBodyMib * 1024 * 1024),
    keys: openApiKeys(settings, logger),
    publicRoutes: settings.publicRoutes,
    requestsPerMinute: settings.requestsPerMinute,
    requestTimeoutMs: settings.requestTimeoutSeconds * 1000,
    corsOrigins: settings.corsOrigins,
    trustedProxies: settings.trustedProxies,
    connections: {
      maxConnections: settings.maxConnections,
      receiveTimeoutMs: settings.receiveTimeoutSeconds * 1000,
      sendTimeoutMs: settings.sendTimeoutSeconds * 1000,
    },
  };
}

/** `loadEngine` resolves when the engine is ready for requests. */
export async function serve(args: readonly string[], loadEngine = startEngine): Promise<void> {
  const settings = readSettings(args, process.env);
  const logger = pino({ level: settings.logLevel }, standardOutput());
  const gate = new EngineGate({ maxConcurrentPerClient: settings.maxConcurrentPerKey });
  const metrics = new PrometheusMetrics();
  const app = await buildApp({ gate, metrics, logger, version, ...appSettings(settings, logger) });
  let loading: Promise<Engine> | null = null;

  const ending = drainOnSignal({
    gate,
    logger,
    timeoutMs: settings.shutdownTimeoutSeconds * 1000,
    ignoresHangup: settings.apiKeyFile !== null,
    async close() {
      // First, so that closing the server need not wait for what is still running. Also waits for a model that is still
      // loading: a process that exits while ONNX Runtime works in another thread is aborted.
      await loading?.then(
        async (engine) => engine.close(),
        () => {},
      );
      await app.close();
      metrics.close();
    },
  });

  // Listening comes first, so that probes are answered while the model loads.
  const url = await listen(app, settings);
  logger.info({ url, model: settings.model }, 'listening, loading the model');
  const options = engineOptions(settings, metrics, logger);
  const startWorker = crashableWorker();
  loading = loadEngine({
    ...options,
    ...(startWorker === undefined ? {} : { startWorker }),
    onGaveUp: () => ending.fail(),
  });
  const engine = await loading;
  metrics.watch(engine);
  gate.open(engine);
  logger.info({ url, model: engine.model.id, docs: `${url}/docs` }, 'ready');
}
