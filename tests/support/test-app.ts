import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import type { Engine } from '../../src/engine/generation.ts';
import { PrometheusMetrics } from '../../src/metrics/prometheus.ts';
import { buildApp, type AppDependencies } from '../../src/server/app.ts';
import { EngineGate } from '../../src/server/engine-gate.ts';
import { ScriptedEngine, type ScriptedEngineOptions } from './scripted-engine.ts';

export interface TestApp {
  readonly app: FastifyInstance;
  readonly gate: EngineGate;
  readonly engine: Engine;
  close(): Promise<void>;
}

export interface TestAppOptions extends ScriptedEngineOptions {
  readonly loading?: boolean;
  readonly gate?: EngineGate;
  readonly app?: Partial<AppDependencies>;
  readonly beforeReady?: (app: FastifyInstance) => void;
}

/** The whole surface over a scripted engine, not listening. */
export async function testApp(options: TestAppOptions = {}): Promise<TestApp> {
  const metrics = new PrometheusMetrics();
  const gate = options.gate ?? new EngineGate();
  const engine = new ScriptedEngine({ observer: metrics, ...options });
  const logger = pino({ level: 'silent' });
  const app = await buildApp({
    gate,
    metrics,
    logger,
    version: '0.0.0',
    maxBodyBytes: 1024 * 1024,
    ...options.app,
  });
  if (options.loading !== true) {
    metrics.watch(engine);
    gate.open(engine);
  }
  options.beforeReady?.(app);
  await app.ready();
  return {
    app,
    gate,
    engine,
    async close() {
      await engine.close();
      await app.close();
      metrics.close();
    },
  };
}
