import type { FastifyInstance } from 'fastify';

/** Whatever can be scraped. */
export interface MetricsSource {
  readonly contentType: string;
  text(): Promise<string>;
}

const schema = { summary: 'Prometheus metrics', tags: ['operations'], produces: ['text/plain'] };

export async function metricsRoutes(
  app: FastifyInstance,
  { metrics }: { metrics: MetricsSource },
): Promise<void> {
  app.get('/metrics', { schema, config: { isProbe: true } }, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()),
  );
}
