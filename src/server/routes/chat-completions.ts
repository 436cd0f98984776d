import type { FastifyInstance } from 'fastify';
import { ForetokenError } from '../../errors.ts';
import type { EngineGate } from '../engine-gate.ts';
import { errorSchema } from '../schemas/error.ts';

const schema = {
  summary: 'Chat, for models that ship a chat template',
  tags: ['generation'],
  response: { '4xx': errorSchema, '5xx': errorSchema },
};

export async function chatCompletionRoutes(
  app: FastifyInstance,
  { gate }: { gate: EngineGate },
): Promise<void> {
  app.post('/v1/chat/completions', { schema }, () => {
    gate.assertReady();
    const message = `model: ${gate.model.id} has no chat template; use /v1/completions`;
    throw new ForetokenError('chat_template_missing', message, 'model');
  });
}
