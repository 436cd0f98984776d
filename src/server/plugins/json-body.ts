import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { ForetokenError } from '../../errors.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

function decode(body: Buffer): string {
  try {
    return decoder.decode(body);
  } catch {
    throw new ForetokenError('invalid_request', 'body: expected UTF-8, got bytes that are not');
  }
}

/** Of a body over the limit so much is read and dropped: a client that is still writing would not see the refusal. */
const maxDrainedBytes = 64 * 1024 * 1024;

/** JSON bodies only, and only in valid UTF-8: the default parser would quietly put U+FFFD into prompts. */
async function jsonBody(app: FastifyInstance): Promise<void> {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addHook('preParsing', async (request, _reply, payload) => {
    const { bodyLimit } = request.routeOptions;
    const numBytes = Number(request.headers['content-length'] ?? 0);
    if (numBytes <= bodyLimit) return;
    let numDrained = 0;
    for await (const chunk of payload) {
      numDrained += (chunk as Buffer).length;
      if (numDrained > maxDrainedBytes) break;
    }
    throw new ForetokenError('body_too_large', `body: expected at most ${bodyLimit} bytes, got ${numBytes}`);
  });
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    if (body.length === 0)
      throw new ForetokenError('invalid_request', 'body: expected a JSON object, got nothing');
    void parseJson(request, decode(body), (error, value) => {
      if (error === null) done(null, value);
      // The parser's own words quote the body, and prompts stay out of the log.
      else
        done(
          new ForetokenError('invalid_request', 'body: expected JSON, got text that does not parse as JSON'),
        );
    });
  });
}

export default fp(jsonBody, { name: 'json-body' });
