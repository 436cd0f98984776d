import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';

/** Built from src/playground; as far from here as from this file's JavaScript. */
const FILES = new URL('../../../dist/playground/', import.meta.url);

/** The page runs its own script, which asks this server and nobody else. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'";

/** `GET /`: a page to try the server from. */
export async function playgroundRoutes(app: FastifyInstance): Promise<void> {
  await app.register(fastifyStatic, { root: FILES, prefix: '/playground/', index: false, wildcard: false });
  app.get('/', { schema: { hide: true } }, (_request, reply) =>
    reply.header('content-security-policy', PAGE_POLICY).sendFile('index.html'),
  );
}
