/** `foretoken serve`: listens at once, loads the model meanwhile, and drains before it exits. */
import closeWithGrace, { type Signals } from 'close-with-grace';
import type { FastifyInstance } from 'fastify';
import { pino, type Logger } from 'pino';
import { setTimeout as sleep } from 'node:timers/promises';
import { readSettings, type Settings } from '../config.ts';
import { startEngine, type EngineOptions } from '../engine/engine.ts';
import type { Engine } from '../engine/generation.ts';
import { ForetokenError } from '../errors.ts';
import { PrometheusMetrics } from '../metrics/prometheus.ts';
import { buildApp } from '../server/app.ts';
import { EngineGate } from '../server/engine-gate.ts';
import { crashableWorker } from './crashable-worker.ts';
import { standardOutput } from './log-destination.ts';
import { version } from '../version.ts';

/** After these no code can be relied on: the process dies of them, as it would without handlers, and does not drain. */
const crashSignals: Signals[] = ['SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV'];

/** Beyond the time that requests get: for closing sockets and freeing the model. */
const closeMs = 5000;

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

/** `loadEngine` resolves when the engine is ready for requests. */
export async function serve(args: readonly string[], loadEngine = startEngine): Promise<void> {
  const settings = readSettings(args, process.env);
  const logger = pino({ level: settings.logLevel }, standardOutput());
  const gate = new EngineGate();
  const metrics = new PrometheusMetrics();
  const maxBodyBytes = Math.ceil(settings.maxBodyMib * 1024 * 1024);
  const app = await buildApp({ gate, metrics, logger, version, maxBodyBytes });
  let loading: Promise<Engine> | null = null;

  const timeoutMs = settings.shutdownTimeoutSeconds * 1000;
  const grace = { delay: timeoutMs + closeMs, logger, skip: crashSignals };
  const closer = closeWithGrace(grace, async ({ signal, err, manual }) => {
    if (err !== undefined) logger.fatal({ err }, 'unexpected error, closing');
    logger.info({ signal, timeoutSeconds: settings.shutdownTimeoutSeconds }, 'draining');
    gate.startDraining();
    await Promise.race([gate.whenIdle(), sleep(err === undefined ? timeoutMs : 0)]);
    // Ends with an error what is still running, so that closing the server need not wait for it. Also waits for a model
    // that is still loading: a process that exits while ONNX Runtime works in another thread is aborted.
    await loading?.then(
      async (engine) => engine.close(),
      () => {},
    );
    await app.close();
    metrics.close();
    logger.info('closed');
    // Only the engine's end closes the server from within.
    if (manual === true) process.exit(1);
  });

  // Listening comes first, so that probes are answered while the model loads.
  const url = await listen(app, settings);
  logger.info({ url, model: settings.model }, 'listening, loading the model');
  const options = engineOptions(settings, metrics, logger);
  const startWorker = crashableWorker();
  loading = loadEngine({
    ...options,
    ...(startWorker === undefined ? {} : { startWorker }),
    onGaveUp: () => closer.close(),
  });
  const engine = await loading;
  metrics.watch(engine);
  gate.open(engine);
  logger.info({ url, model: engine.model.id, docs: `${url}/docs` }, 'ready');
}
