/** What ends a request before it is done: its client leaves, or its time is over. */
import type { FastifyReply } from 'fastify';
import { ForetokenError } from '../errors.ts';

/** Aborts with `deadline_exceeded` once the time since the arrival is over; returns what calls that off. 0: never. */
export function startDeadline(abort: AbortController, timeoutMs: number, elapsedMs = 0): () => void {
  if (timeoutMs === 0) return () => {};
  const expire = (): void => {
    const message = `the request was not done ${timeoutMs / 1000} s after its arrival`;
    abort.abort(new ForetokenError('deadline_exceeded', message));
  };
  const timer = setTimeout(expire, Math.max(timeoutMs - elapsedMs, 0));
  return () => clearTimeout(timer);
}

/** Aborted when the client leaves before its answer is complete, or at the deadline. */
export function requestSignal(reply: FastifyReply, timeoutMs: number): AbortSignal {
  const abort = new AbortController();
  const callOff = startDeadline(abort, timeoutMs, reply.elapsedTime);
  const { socket } = reply.request.raw;
  const settle = (): void => {
    callOff();
    socket.removeListener('close', settle);
    if (!reply.raw.writableFinished) abort.abort();
  };
  reply.raw.once('close', settle);
  // An answer that waits behind others on its connection does not hear of its end. There may be many.
  socket.setMaxListeners(0).once('close', settle);
  return abort.signal;
}
