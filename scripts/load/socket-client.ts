/** One response over a WebSocket of its own. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { ClientBehaviour, ClientOutcome } from './client-outcome.ts';

interface ServerEvent {
  readonly type: string;
  readonly code?: string;
  readonly delta?: string;
  readonly response?: {
    readonly id: string;
    readonly status: string;
    readonly error: { readonly code: string } | null;
    readonly usage: { readonly output_tokens: number } | null;
  };
}

const TERMINAL = new Set(['response.completed', 'response.incomplete', 'response.failed', 'error']);

export async function respondOverSocket(
  baseUrl: string,
  body: Readonly<Record<string, unknown>>,
  { leaveAfter = Infinity, byCancel = false, pauseMs = 0 }: ClientBehaviour = {},
): Promise<ClientOutcome> {
  const socket = new WebSocket(`${baseUrl.replace('http', 'ws')}/v1/responses`);
  try {
    await once(socket, 'open');
  } catch (error) {
    return { kind: 'refused', reason: (error as NodeJS.ErrnoException).code ?? String(error) };
  }
  const sentAt = performance.now();
  const eventMs: number[] = [];
  let responseId = '';
  const outcome = await new Promise<ClientOutcome>((resolve) => {
    socket.on('error', () => {});
    socket.on('close', (code) =>
      resolve({ kind: responseId === '' ? 'refused' : 'lost', reason: `closed with ${code}` }),
    );
    socket.on('message', (data: Buffer) => {
      const event = JSON.parse(data.toString()) as ServerEvent;
      responseId = event.response?.id ?? responseId;
      if (TERMINAL.has(event.type)) resolve(outcomeOf(event, eventMs));
      if (event.type !== 'response.output_text.delta' || event.delta === '') return;
      eventMs.push(performance.now() - sentAt);
      if (eventMs.length === leaveAfter) {
        if (byCancel) socket.send(JSON.stringify({ type: 'response.cancel', response_id: responseId }));
        else resolve({ kind: 'left' });
      } else if (pauseMs > 0) {
        socket.pause();
        void sleep(pauseMs).then(() => socket.resume());
      }
    });
    socket.send(JSON.stringify({ type: 'response.create', ...body }));
  });
  socket.terminate();
  return outcome;
}

function outcomeOf({ type, code, response }: ServerEvent, eventMs: readonly number[]): ClientOutcome {
  if (type === 'error') return { kind: 'refused', reason: code ?? 'error' };
  if (type === 'response.failed') return { kind: 'failed', reason: response?.error?.code ?? 'unknown' };
  if (response?.status === 'cancelled') return { kind: 'left' };
  return { kind: 'completed', numTokens: response?.usage?.output_tokens ?? 0, eventMs };
}
