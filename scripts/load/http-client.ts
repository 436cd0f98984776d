/** One completion over HTTP, on a connection of its own. */
import { request, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBehaviour, ClientOutcome } from './client-outcome.ts';

interface Chunk {
  readonly error?: { readonly code: string };
  readonly choices?: readonly { readonly text: string }[];
  readonly usage?: { readonly completion_tokens: number } | null;
}

/** Codes of requests that were accepted, and answered with a status since nothing had been sent. */
const FAILURES = new Set(['engine_failed', 'internal_error']);

/** Milliseconds in `eventMs` are from when the request was sent to each event with text. */
export async function completeOverHttp(
  baseUrl: string,
  body: { readonly stream: boolean; readonly [field: string]: unknown },
  behaviour: ClientBehaviour = {},
): Promise<ClientOutcome> {
  const sentAt = performance.now();
  const call = request(`${baseUrl}/v1/completions`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json' },
  });
  let hasLeft = false;
  const leave = (): void => {
    hasLeft = true;
    call.destroy();
  };
  const responded = once(call, 'response') as Promise<[IncomingMessage]>;
  call.end(JSON.stringify(body), () => {
    if (behaviour.leaveAfter === 0) leave();
  });
  let response: IncomingMessage;
  try {
    [response] = await responded;
  } catch (error) {
    return hasLeft ? { kind: 'left-early' } : unanswered(error);
  }
  // What the connection does after the answer is of no interest.
  call.on('error', () => {});
  try {
    if (response.statusCode !== 200) {
      const { code } = (JSON.parse(await textOf(response)) as Chunk).error!;
      return { kind: FAILURES.has(code) ? 'failed' : 'refused', reason: code };
    }
    if (!body.stream) {
      const { usage } = JSON.parse(await textOf(response)) as Chunk;
      return {
        kind: 'completed',
        numTokens: usage!.completion_tokens,
        eventMs: [performance.now() - sentAt],
      };
    }
    return await readStream(response, sentAt, behaviour, leave);
  } catch (error) {
    return hasLeft ? { kind: 'left' } : { kind: 'lost', reason: String(error) };
  }
}

async function readStream(
  response: IncomingMessage,
  sentAt: number,
  { leaveAfter = Infinity, pauseMs = 0 }: ClientBehaviour,
  leave: () => void,
): Promise<ClientOutcome> {
  const eventMs: number[] = [];
  let numTokens = 0;
  let end: ClientOutcome | null = null;
  for await (const data of events(response)) {
    if (end !== null) return { kind: 'lost', reason: `an event after the end: ${data}` };
    if (data === '[DONE]') {
      end = { kind: 'completed', numTokens, eventMs };
      continue;
    }
    const { error, choices, usage } = JSON.parse(data) as Chunk;
    if (error !== undefined) {
      end = { kind: 'failed', reason: error.code };
      continue;
    }
    numTokens = usage?.completion_tokens ?? numTokens;
    if ((choices?.[0]?.text ?? '') === '') continue;
    eventMs.push(performance.now() - sentAt);
    if (eventMs.length >= leaveAfter) {
      leave();
      return { kind: 'left' };
    }
    if (pauseMs > 0) await sleep(pauseMs);
  }
  return end ?? { kind: 'lost', reason: 'the stream ended without [DONE]' };
}

async function* events(response: IncomingMessage): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of response.setEncoding('utf8')) {
    const frames = (rest + String(chunk)).split('\n\n');
    rest = frames.pop()!;
    for (const frame of frames) yield frame.slice('data: '.length);
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += String(chunk);
  return text;
}

/** Nobody listened, so that nothing was taken; anything else might have been. */
function unanswered(error: unknown): ClientOutcome {
  const { code = 'no answer' } = error as NodeJS.ErrnoException;
  return code === 'ECONNREFUSED' ? { kind: 'refused', reason: code } : { kind: 'lost', reason: code };
}
