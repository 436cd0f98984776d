/** What the unmodified openai client must be able to do; the same against any server at a base URL. */
import OpenAI, { APIError } from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';
import type { Completion } from 'openai/resources/completions';
import type { Response, ResponsesServerEvent } from 'openai/resources/responses/responses';
import { expect, test } from 'vitest';

/** What the answers carry beyond OpenAI's own types. */
interface Reports {
  readonly metrics?: {
    readonly speculative_decoding: { readonly num_draft_tokens: number };
    readonly speedup: unknown;
  };
  readonly timings?: { readonly predicted_n: number };
}

export interface ContractServer {
  /** Without `/v1`. */
  readonly baseUrl: string;
  /** A prompt that goes on for 16 tokens and ends by itself within 200 with `stop`. */
  readonly prompt: string;
  readonly stop: string[];
}

function clientOf({ baseUrl }: ContractServer): OpenAI {
  return new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: 'none', maxRetries: 0 });
}

/** All events of one response over one socket, which is then closed. */
async function respond(client: OpenAI, request: object): Promise<ResponsesServerEvent[]> {
  const socket = new ResponsesWS(client);
  const events: ResponsesServerEvent[] = [];
  try {
    socket.send({ type: 'response.create', ...request });
    for await (const message of socket) {
      if (message.type === 'error') throw message.error;
      if (message.type !== 'message') continue;
      events.push(message.message);
      if (['response.completed', 'response.incomplete', 'response.failed'].includes(message.message.type))
        break;
    }
  } finally {
    socket.close();
  }
  return events;
}

function textOf(response: Response): string {
  return response.output
    .flatMap((item) => (item.type === 'message' ? item.content : []))
    .map((part) => (part.type === 'output_text' ? part.text : ''))
    .join('');
}

/** Defines the tests; `server` is asked once they run. */
export function openAiContract(server: () => ContractServer): void {
  test('openai: models.list names the model that completions take', async () => {
    const client = clientOf(server());
    const { data } = await client.models.list();
    expect(data).toHaveLength(1);
    expect((await client.models.retrieve(data[0]!.id)).id).toBe(data[0]!.id);
  });

  test('openai: completions.create with and without stream give the same text and report', async () => {
    const client = clientOf(server());
    const [model] = (await client.models.list()).data;
    const request = { model: model!.id, prompt: server().prompt, max_tokens: 16, temperature: 0.8, seed: 11 };
    const whole: Completion & Reports = await client.completions.create(request);
    const { text, finish_reason } = whole.choices[0]!;
    expect(text).not.toBe('');
    expect(finish_reason).toMatch(/stop|length/);
    expect(whole.metrics!.speculative_decoding.num_draft_tokens).toBeGreaterThan(0);
    expect(whole.timings!.predicted_n).toBe(whole.usage!.completion_tokens);

    for (const include_usage of [false, true]) {
      const stream = await client.completions.create({
        ...request,
        stream: true,
        stream_options: { include_usage },
      });
      const chunks: Completion[] = [];
      for await (const chunk of stream) chunks.push(chunk);
      expect(chunks.flatMap(({ choices }) => choices.map((choice) => choice.text)).join('')).toBe(text);
      const last: Completion & Reports = chunks.at(-1)!;
      // All but what was cached, which grows when a prompt comes again.
      expect(last.usage).toEqual({ ...whole.usage, prompt_tokens_details: expect.anything() });
      expect(last.metrics).toBeDefined();
      expect(last.timings).toBeDefined();
    }
  });

  test('openai: a refusal is an APIError with status, code and param', async () => {
    const client = clientOf(server());
    const refused = client.completions.create({ model: 'gpt-4', prompt: 'x' });
    await expect(refused).rejects.toBeInstanceOf(APIError);
    await expect(refused).rejects.toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
    const zero = client.completions.create({ model: '', prompt: 'x', max_tokens: 0 });
    await expect(zero).rejects.toMatchObject({ status: 400, param: 'max_tokens' });
  });

  test('openai: ResponsesWS streams a response whose deltas add up to its text', async () => {
    const client = clientOf(server());
    const { prompt, stop } = server();
    const events = await respond(client, { input: prompt, seed: 4, max_output_tokens: 200, stop });
    const deltas = events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : ''));
    const last = events.at(-1)!;
    if (last.type !== 'response.completed') throw new Error(`expected response.completed, got ${last.type}`);
    const response: Response & Reports = last.response;
    expect(deltas.filter((delta) => delta !== '').length).toBeGreaterThan(1);
    expect(textOf(response)).toBe(deltas.join(''));
    expect(response.status).toBe('completed');
    expect(response.usage!.output_tokens).toBeGreaterThan(0);
    expect(response.usage!.total_tokens).toBe(response.usage!.input_tokens + response.usage!.output_tokens);
    expect(response.metrics!.speculative_decoding.num_draft_tokens).toBeGreaterThan(0);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual([...events.keys()]);
  });

  test('openai: ResponsesWS gets an error event for a refused response', async () => {
    const client = clientOf(server());
    const refused = respond(client, { input: 'x', temperature: 5 });
    await expect(refused).rejects.toMatchObject({ error: { type: 'error', param: 'temperature' } });
  });
}
