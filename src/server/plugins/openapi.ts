import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';

export interface OpenapiOptions {
  readonly version: string;
  readonly hasKeys: boolean;
}

/** The page needs no more than its own files; not TLS either, which may be there or not. */
const pagePolicy =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; frame-ancestors 'none'";

const bearerKey = {
  components: { securitySchemes: { key: { type: 'http' as const, scheme: 'bearer' } } },
  security: [{ key: [] }],
};

/** `/openapi.json` and `/docs`, from the schemas that validate. */
async function openapi(app: FastifyInstance, { version, hasKeys }: OpenapiOptions): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'foretoken',
        description:
          'Speculative decoding with multi-token prediction. Beside these routes, GET /v1/responses upgrades to a ' +
          "WebSocket that speaks OpenAI's Responses events.",
        version,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: [
        { name: 'generation', description: 'Text' },
        { name: 'models', description: 'What is loaded' },
        { name: 'operations', description: 'Health and metrics' },
      ],
      ...(hasKeys ? bearerKey : {}),
    },
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    uiHooks: {
      onRequest(_request, reply, done) {
        reply.header('content-security-policy', pagePolicy);
        done();
      },
    },
  });
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
}

export default fp(openapi, { name: 'openapi' });
