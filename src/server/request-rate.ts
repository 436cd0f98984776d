/** How many generations a client may ask for a minute, over HTTP and on sockets together. */
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ForetokenError } from '../errors.ts';
import { clientOf } from './client.ts';

/** Counts a request against its client, and throws where that is one too many. */
export type CountRequest = (request: FastifyRequest) => Promise<void>;

const maxClients = 10_000;

/** `requestsPerMinute` 0: any number. Of more than `maxClients` clients, those that came last are remembered. */
export async function requestRate(app: FastifyInstance, requestsPerMinute: number): Promise<CountRequest> {
  if (requestsPerMinute === 0) return async () => {};
  await app.register(rateLimit, {
    global: false,
    max: requestsPerMinute,
    timeWindow: 60_000,
    cache: maxClients,
    keyGenerator: clientOf,
  });
  const count = app.createRateLimit();
  return async (request) => {
    const state = await count(request);
    if (state.isAllowed || !state.isExceeded) return;
    const message = `expected at most ${requestsPerMinute} requests a minute, try again in ${state.ttlInSeconds} s`;
    const retryAfterSeconds = Math.max(state.ttlInSeconds, 1);
    throw new ForetokenError('rate_limit_exceeded', message, null, { retryAfterSeconds });
  };
}
