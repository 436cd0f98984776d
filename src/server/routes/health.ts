import { Type } from 'typebox';
import type { FastifyInstance } from 'fastify';
import { ForetokenError } from '../../errors.ts';
import type { EngineGate } from '../engine-gate.ts';
import { errorSchema } from '../schemas/error.ts';

const statusSchema = Type.Object({ status: Type.String() });
const response = { 200: statusSchema, '5xx': errorSchema };
const config = { isProbe: true };

export async function healthRoutes(app: FastifyInstance, { gate }: { gate: EngineGate }): Promise<void> {
  const liveness = { summary: 'Whether the engine can still make progress', tags: ['operations'], response };
  app.get('/health', { schema: liveness, config }, () => {
    if (gate.status === 'failed') throw new ForetokenError('engine_failed', 'the engine has failed');
    return { status: 'ok' };
  });

  const readiness = { summary: 'Whether requests are taken', tags: ['operations'], response };
  app.get('/ready', { schema: readiness, config }, () => {
    gate.assertReady();
    return { status: 'ready' };
  });
}
