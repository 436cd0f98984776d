import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';

const checkMs = 50;
/** For the ends of answers to leave; whoever does not take them by then does not hold the server up. */
const lastMs = 2000;

/**
 * Closing ends the connections that are idle at that moment. One whose answer is still being sent stays open for reuse
 * afterwards and would hold the server up, so that idle ones are looked for until all are gone.
 */
async function closing(app: FastifyInstance): Promise<void> {
  app.addHook('preClose', async () => {
    if (!app.server.listening) return;
    const timer = setInterval(() => app.server.closeIdleConnections(), checkMs).unref();
    const lastTimer = setTimeout(() => app.server.closeAllConnections(), lastMs).unref();
    app.server.once('close', () => {
      clearInterval(timer);
      clearTimeout(lastTimer);
    });
  });
}

export default fp(closing, { name: 'closing' });
