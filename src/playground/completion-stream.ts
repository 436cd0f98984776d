/** `POST /v1/completions` as a page reads it: server-sent events, one part of the completion each. */

export interface CompletionRequest {
  readonly model: string;
  readonly prompt: string;
  readonly suffix?: string;
  readonly max_tokens: number;
  readonly temperature: number;
  readonly speculation: 'off' | SpeculationOptions;
}

export interface SpeculationOptions {
  readonly num_draft_tokens: number;
  readonly adaptive: boolean;
  readonly measure_baseline: boolean;
}

export interface TokenSource {
  readonly text: string;
  readonly source: 'draft' | 'target';
}

/** What the page shows of `metrics` (src/server/schemas/report.ts). */
export interface Report {
  readonly speculative_decoding: {
    readonly num_draft_tokens: number;
    readonly num_accepted_draft_tokens: number;
    readonly mean_acceptance_length: number;
    readonly conditional_acceptance_rate_per_position: readonly (number | null)[];
  };
  readonly speedup: {
    readonly factor: number;
    readonly method: 'calibrated' | 'measured';
    readonly tokens_per_second: number;
    readonly baseline_tokens_per_second: number;
    readonly identical?: boolean;
  } | null;
  readonly timings: { readonly time_to_first_token_seconds: number };
}

export interface CompletionPart {
  readonly choices: readonly {
    readonly text: string;
    readonly finish_reason: string | null;
    readonly token_sources?: readonly TokenSource[];
  }[];
  readonly metrics?: Report;
}

/** An answer that is no completion. */
export class RefusedError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

interface ErrorBody {
  readonly error: { readonly message: string };
}

export const headersOf = (key: string): Record<string, string> =>
  key === '' ? {} : { authorization: `Bearer ${key}` };

/** Throws RefusedError, in the server's words if the answer has them. */
export async function assertOk(response: Response): Promise<void> {
  if (response.ok) return;
  const body = (await response.json().catch(() => null)) as ErrorBody | null;
  throw new RefusedError(response.status, body?.error.message ?? `the server answered ${response.status}`);
}

/** The data of each event, until `[DONE]`. Throws if the stream ends before. */
async function* eventData(
  bytes: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string, void, undefined> {
  let rest = '';
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) {
    const events = (rest + text).split('\n\n');
    rest = events.pop()!;
    for (const event of events) {
      if (!event.startsWith('data: ')) continue;
      const data = event.slice('data: '.length);
      if (data === '[DONE]') return;
      yield data;
    }
  }
  throw new Error('the connection ended before the completion');
}

/** Throws RefusedError, the error that the server sent instead of a part, or fetch's own. */
export async function* streamCompletion(
  url: string,
  request: CompletionRequest,
  key: string,
  signal: AbortSignal,
): AsyncGenerator<CompletionPart, void, undefined> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headersOf(key) },
    body: JSON.stringify({ ...request, stream: true, return_token_sources: true }),
    signal,
  });
  await assertOk(response);
  for await (const data of eventData(response.body!)) {
    const part = JSON.parse(data) as CompletionPart | ErrorBody;
    if ('error' in part) throw new Error(part.error.message);
    yield part;
  }
}
