/**
 * One client's WebSocket: its events in, those of its responses out, several at a time. Whatever is wrong with a
 * message is answered with an error event, and the socket stays open.
 */
import type { FastifyBaseLogger, FastifySchemaValidationError } from 'fastify';
import type { RawData, WebSocket } from 'ws';
import { ForetokenError } from '../errors.ts';
import type { EngineGate } from './engine-gate.ts';
import { publicError } from './error-body.ts';
import { ResponseEvents } from './response-events.ts';
import { startDeadline } from './request-signal.ts';
import { responseGenerationRequest } from './response-request.ts';
import type { ResponseCancel, ResponseCreate } from './schemas/response.ts';
import { SocketSender } from './socket-sender.ts';
import { describeValue, validationError } from './validation-message.ts';

/** A compiled schema, as ajv makes it. */
export interface Validator<Value> {
  accepts(value: unknown): value is Value;
  /** Why it did not accept the last one. */
  errors(): readonly FastifySchemaValidationError[];
}

export interface ResponseSocketOptions {
  readonly gate: EngineGate;
  readonly log: FastifyBaseLogger;
  readonly client: string;
  readonly maxMessageBytes: number;
  /** From the arrival of a `response.create`; 0: none. */
  readonly requestTimeoutMs: number;
  readonly sendTimeoutMs: number;
  /** Throws where the client's key or rate do not allow another response. */
  readonly assertMayCreate: () => Promise<void>;
  readonly validateCreate: Validator<ResponseCreate>;
  readonly validateCancel: Validator<ResponseCancel>;
}

const maxResponsesPerSocket = 32;
/** How long a peer that does not read may take to answer that its socket is closed. */
const closeHandshakeMs = 5000;

export class ResponseSocket {
  readonly #socket: WebSocket;
  readonly #options: ResponseSocketOptions;
  readonly #sender: SocketSender;
  readonly #running = new Map<string, AbortController>();

  constructor(socket: WebSocket, options: ResponseSocketOptions) {
    const { draining } = options.gate;
    const drain = (): void => this.#closeIfDrained();
    this.#socket = socket;
    this.#options = options;
    this.#sender = new SocketSender(socket, options.sendTimeoutMs, () => this.#dropStalled());
    socket.on('message', (data, isBinary) => {
      if (isBinary) socket.close(1003, 'expected text frames');
      else void this.#receive(data);
    });
    socket.on('close', () => {
      draining.removeEventListener('abort', drain);
      this.#abortAll();
    });
    draining.addEventListener('abort', drain);
    this.#closeIfDrained();
  }

  async #receive(data: RawData): Promise<void> {
    let message: unknown;
    try {
      message = this.#parse(data);
      await this.#dispatch(message);
    } catch (error) {
      this.#refuse(error, message);
    }
  }

  #parse(data: RawData): unknown {
    const { maxMessageBytes } = this.#options;
    // ws gives a text frame as one Buffer, and has checked that it is valid UTF-8.
    if (!Buffer.isBuffer(data)) throw new TypeError('expected a Buffer');
    if (data.length > maxMessageBytes) {
      const message = `message: expected at most ${maxMessageBytes} bytes, got ${data.length}`;
      throw new ForetokenError('body_too_large', message);
    }
    try {
      return JSON.parse(data.toString('utf8'));
    } catch {
      throw new ForetokenError(
        'invalid_request',
        'message: expected JSON, got text that does not parse as JSON',
      );
    }
  }

  async #dispatch(message: unknown): Promise<void> {
    if (message === null || typeof message !== 'object' || Array.isArray(message)) {
      throw new ForetokenError(
        'invalid_request',
        `message: expected an object, got ${describeValue(message)}`,
      );
    }
    const type = 'type' in message ? message.type : undefined;
    const { validateCreate, validateCancel } = this.#options;
    switch (type) {
      case 'response.create':
        assertValid(validateCreate, message);
        await this.#create(message);
        break;
      case 'response.cancel':
        assertValid(validateCancel, message);
        this.#cancel(message);
        break;
      default: {
        const expected = 'expected "response.create" or "response.cancel"';
        throw new ForetokenError('invalid_request', `type: ${expected}, got ${describeValue(type)}`, 'type');
      }
    }
  }

  async #create(request: ResponseCreate): Promise<void> {
    const { gate, log, client, requestTimeoutMs, assertMayCreate } = this.#options;
    gate.assertReady();
    await assertMayCreate();
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#running.size >= maxResponsesPerSocket) {
      throw new ForetokenError(
        'queue_full',
        `expected at most ${maxResponsesPerSocket} running responses a socket`,
      );
    }
    const { model } = gate;
    const abort = new AbortController();
    const caller = { client, signal: abort.signal };
    const generation = gate.generate([responseGenerationRequest(request, model)], caller);
    const callOffDeadline = startDeadline(abort, requestTimeoutMs);
    const events = new ResponseEvents({
      request,
      model: model.id,
      publicError: (error) => publicError(error, log),
    });
    this.#running.set(events.id, abort);
    this.#run(events.from(generation))
      .catch((error: unknown) => log.error({ err: error, responseId: events.id }, 'response failed'))
      .finally(() => {
        callOffDeadline();
        abort.abort();
        this.#running.delete(events.id);
        this.#closeIfDrained();
      });
  }

  #cancel({ response_id: id }: ResponseCancel): void {
    const abort = this.#running.get(id);
    if (abort === undefined) {
      const message = `response_id: no running response ${JSON.stringify(id.slice(0, 100))} on this socket`;
      throw new ForetokenError('response_not_found', message, 'response_id');
    }
    abort.abort();
  }

  async #run(events: AsyncIterable<object>): Promise<void> {
    for await (const event of events) {
      if (this.#socket.readyState !== this.#socket.OPEN) return;
      await this.#sender.send(event);
    }
  }

  #abortAll(): void {
    for (const abort of this.#running.values()) abort.abort();
  }

  /** While the server drains, a socket stays open as long as a response is running on it. */
  #closeIfDrained(): void {
    if (this.#running.size > 0 || !this.#options.gate.draining.aborted) return;
    this.#socket.close(1001, 'server shutting down');
  }

  /** Gives back what a peer that has stopped reading holds, and tells it, should it read on. */
  #dropStalled(): void {
    const { log, sendTimeoutMs } = this.#options;
    log.warn({ numResponses: this.#running.size, sendTimeoutMs }, 'socket takes nothing, closing it');
    this.#abortAll();
    this.#socket.close(1008, `nothing was read for ${sendTimeoutMs / 1000} s`);
    setTimeout(() => this.#socket.terminate(), closeHandshakeMs).unref();
  }

  /** Who sends nonsense without reading the answers is not read any further either. */
  #refuse(thrown: unknown, message: unknown): void {
    const socket = this.#socket;
    if (socket.readyState !== socket.OPEN) return;
    const { code, message: text, param } = publicError(thrown, this.#options.log);
    const eventId =
      message !== null && typeof message === 'object' && 'event_id' in message ? message.event_id : null;
    const echoed = typeof eventId === 'string' ? { event_id: eventId.slice(0, 512) } : {};
    const sent = this.#sender.send({
      type: 'error',
      sequence_number: 0,
      code,
      message: text,
      param,
      ...echoed,
    });
    if (!this.#sender.isFull) return;
    socket.pause();
    void sent.then(() => socket.resume());
  }
}

function assertValid<Value>(validate: Validator<Value>, message: unknown): asserts message is Value {
  if (validate.accepts(message)) return;
  throw validationError(validate.errors());
}
