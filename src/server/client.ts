import { normalizeIP } from '@fastify/rate-limit';
import type { FastifyRequest } from 'fastify';

/** Whose limits a request counts against: its key's, or without keys its address's (of IPv6, its network's). */
export function clientOf(request: FastifyRequest): string {
  if (request.keyName !== null) return `key ${request.keyName}`;
  // An injected upgrade comes from nowhere.
  return request.socket ? normalizeIP(request.ip) : 'unknown';
}
