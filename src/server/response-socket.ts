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
import { responseGenerationRequest } from './response-request.ts';
import type { ResponseCancel, ResponseCreate } from './schemas/response.ts';
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
  readonly maxMessageBytes: number;
  readonly validateCreate: Validator<ResponseCreate>;
  readonly validateCancel: Validator<ResponseCancel>;
}

/** Beyond this many unsent bytes a response waits, and its generation with it, until they have left. */
const maxBufferedBytes = 64 * 1024;
const maxResponsesPerSocket = 32;

export class ResponseSocket {
  readonly #socket: WebSocket;
  readonly #options: ResponseSocketOptions;
  readonly #running = new Map<string, AbortController>();

  constructor(socket: WebSocket, options: ResponseSocketOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on('message', (data, isBinary) => {
      if (isBinary) socket.close(1003, 'expected text frames');
      else this.#receive(data);
    });
    socket.on('close', () => {
      for (const abort of this.#running.values()) abort.abort();
    });
  }

  #receive(data: RawData): void {
    let message: unknown;
    try {
      message = this.#parse(data);
      this.#dispatch(message);
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

  #dispatch(message: unknown): void {
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
        this.#create(message);
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

  #create(request: ResponseCreate): void {
    const { gate, log } = this.#options;
    gate.assertReady();
    if (this.#running.size >= maxResponsesPerSocket) {
      throw new ForetokenError(
        'queue_full',
        `expected at most ${maxResponsesPerSocket} running responses a socket`,
      );
    }
    const { model } = gate;
    const abort = new AbortController();
    const generation = gate.generate([responseGenerationRequest(request, model)], abort.signal);
    const events = new ResponseEvents({
      request,
      model: model.id,
      publicError: (error) => publicError(error, log),
    });
    this.#running.set(events.id, abort);
    this.#run(events.from(generation))
      .catch((error: unknown) => log.error({ err: error, responseId: events.id }, 'response failed'))
      .finally(() => {
        abort.abort();
        this.#running.delete(events.id);
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
      await this.#send(event);
    }
  }

  /** Resolves at once, or where too much is unsent already, when all of it has left or the socket has closed. */
  async #send(event: object): Promise<void> {
    const socket = this.#socket;
    const text = JSON.stringify(event);
    await new Promise<void>((resolve) => {
      socket.send(text, () => resolve());
      if (socket.bufferedAmount <= maxBufferedBytes) resolve();
    });
  }

  /** Who sends nonsense without reading the answers is not read any further either. */
  #refuse(thrown: unknown, message: unknown): void {
    const socket = this.#socket;
    if (socket.readyState !== socket.OPEN) return;
    const { code, message: text, param } = publicError(thrown, this.#options.log);
    const eventId =
      message !== null && typeof message === 'object' && 'event_id' in message ? message.event_id : null;
    const echoed = typeof eventId === 'string' ? { event_id: eventId.slice(0, 512) } : {};
    const sent = this.#send({ type: 'error', sequence_number: 0, code, message: text, param, ...echoed });
    if (socket.bufferedAmount <= maxBufferedBytes) return;
    socket.pause();
    void sent.then(() => socket.resume());
  }
}

function assertValid<Value>(validate: Validator<Value>, message: unknown): asserts message is Value {
  if (validate.accepts(message)) return;
  throw validationError(validate.errors());
}
