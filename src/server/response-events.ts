/** From the events of one generation to those of OpenAI's Responses API. Knows nothing of sockets. */
import { randomUUID } from 'node:crypto';
import type { FinishReason } from '../metrics/engine-observer.ts';
import { ForetokenError } from '../errors.ts';
import type { GenerationReport } from '../metrics/generation-report.ts';
import { answerReport } from '../metrics/merged-report.ts';
import type { ChoiceEvent } from './choices.ts';
import { tokenSourcesOf } from './completion-chunks.ts';
import type { ResponseCreate } from './schemas/response.ts';

export interface ResponseEvent {
  readonly type: string;
  readonly sequence_number: number;
  readonly [field: string]: unknown;
}

export interface ResponseOptions {
  readonly request: ResponseCreate;
  readonly model: string;
  /** Turns what went wrong into what the client may know of it. */
  readonly publicError: (error: unknown) => ForetokenError;
}

type ResponseStatus = 'in_progress' | 'completed' | 'incomplete' | 'cancelled' | 'failed';
type Payload = Record<string, unknown>;

const outputPosition = { output_index: 0, content_index: 0 };

export class ResponseEvents {
  readonly id = `resp_${randomUUID().replaceAll('-', '')}`;
  readonly #itemId = `msg_${randomUUID().replaceAll('-', '')}`;
  readonly #createdAt = Math.floor(Date.now() / 1000);
  readonly #options: ResponseOptions;
  #sequenceNumber = 0;
  #text = '';

  constructor(options: ResponseOptions) {
    this.#options = options;
  }

  /** The whole response: begun once the generation is admitted, and ended by exactly one terminal event. */
  async *from(events: AsyncIterable<ChoiceEvent>): AsyncGenerator<ResponseEvent, void, undefined> {
    yield this.#event('response.created', { response: this.#response('in_progress') });
    yield this.#event('response.in_progress', { response: this.#response('in_progress') });
    yield this.#event('response.output_item.added', { output_index: 0, item: this.#item('in_progress', []) });
    yield this.#inItem('response.content_part.added', { part: textPart('') });
    try {
      for await (const { event } of events) {
        if (event.type === 'tokens-generated') {
          this.#text += event.text;
          yield this.#inItem('response.output_text.delta', {
            delta: event.text,
            logprobs: [],
            num_tokens: event.tokens.length,
            num_accepted_draft_tokens: event.tokens.filter(({ source }) => source === 'draft').length,
            ...(this.#options.request.return_token_sources
              ? { token_sources: tokenSourcesOf(event.tokens) }
              : {}),
          });
        } else if (event.type === 'generation-finished') {
          yield* this.#finished(event.reason, event.report);
          return;
        }
      }
    } catch (error) {
      yield this.#failed(error);
      return;
    }
    yield this.#event('response.incomplete', {
      response: this.#response('cancelled', { output: [this.#item('incomplete', [textPart(this.#text)])] }),
    });
  }

  *#finished(reason: FinishReason, report: GenerationReport): Generator<ResponseEvent> {
    const status = reason === 'stop' ? 'completed' : 'incomplete';
    const part = textPart(this.#text);
    const item = this.#item(status, [part]);
    const { usage, metrics, timings } = answerReport([report]);
    yield this.#inItem('response.output_text.done', { text: this.#text, logprobs: [] });
    yield this.#inItem('response.content_part.done', { part });
    yield this.#event('response.output_item.done', { output_index: 0, item });
    yield this.#event(`response.${status}`, {
      response: this.#response(status, {
        output: [item],
        incomplete_details: reason === 'length' ? { reason: 'max_output_tokens' } : null,
        usage: {
          input_tokens: usage.prompt_tokens,
          input_tokens_details: usage.prompt_tokens_details,
          output_tokens: usage.completion_tokens,
          output_tokens_details: { reasoning_tokens: 0 },
          // Completions call the same numbers by other names; readers of either find theirs.
          ...usage,
        },
        metrics,
        timings,
      }),
    });
  }

  #failed(thrown: unknown): ResponseEvent {
    const { code, message } = this.#options.publicError(thrown);
    const output = [this.#item('incomplete', [textPart(this.#text)])];
    return this.#event('response.failed', {
      response: this.#response('failed', { output, error: { code, message } }),
    });
  }

  #event(type: string, payload: Payload): ResponseEvent {
    const event = { type, sequence_number: this.#sequenceNumber, ...payload };
    this.#sequenceNumber += 1;
    return event;
  }

  #inItem(type: string, payload: Payload): ResponseEvent {
    return this.#event(type, { response_id: this.id, item_id: this.#itemId, ...outputPosition, ...payload });
  }

  #item(status: 'in_progress' | 'completed' | 'incomplete', content: readonly Payload[]): Payload {
    return { id: this.#itemId, type: 'message', role: 'assistant', status, content };
  }

  #response(status: ResponseStatus, more: Payload = {}): Payload {
    const { request, model } = this.#options;
    return {
      id: this.id,
      object: 'response',
      created_at: this.#createdAt,
      status,
      model,
      output: [],
      error: null,
      incomplete_details: null,
      instructions: null,
      max_output_tokens: request.max_output_tokens ?? null,
      metadata: request.metadata ?? {},
      parallel_tool_calls: false,
      temperature: request.temperature ?? 1,
      tool_choice: 'none',
      tools: [],
      top_p: request.top_p ?? 1,
      store: false,
      usage: null,
      ...more,
    };
  }
}

function textPart(text: string): Payload {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}
