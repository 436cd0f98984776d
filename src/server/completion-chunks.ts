/** From the events of the choices to the parts of a completion, as they stream or as one. */
import type { GeneratedToken } from '../engine/generation.ts';
import type { GenerationReport, LlamaTimings, MetricsReport } from '../metrics/generation-report.ts';
import { answerReport } from '../metrics/merged-report.ts';
import type { ChoiceEvent } from './choices.ts';
import type { Completion, CompletionChoice, Logprobs, TokenSource } from './schemas/completion.ts';

export interface CompletionOptions {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly numPrompts: number;
  readonly numChoicesPerPrompt: number;
  readonly withLogprobs: boolean;
  readonly withTokenSources: boolean;
  /** Whether usage comes in a last chunk of its own, without choices. */
  readonly withUsageChunk: boolean;
}

/** `textOffset` is where the first of the tokens begins in the text of the choice. */
function logprobsOf(tokens: readonly GeneratedToken[], textOffset: number): Logprobs {
  let offset = textOffset;
  return {
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(({ logprob }) => logprob ?? null),
    top_logprobs: tokens.map(({ text, logprob, topLogprobs }) =>
      typeof logprob === 'number'
        ? Object.fromEntries([...(topLogprobs ?? []).map((top) => [top.text, top.logprob]), [text, logprob]])
        : null,
    ),
    text_offset: tokens.map(({ text }) => {
      offset += text.length;
      return offset - text.length;
    }),
  };
}

export function tokenSourcesOf(tokens: readonly GeneratedToken[]): TokenSource[] {
  return tokens.map(({ tokenId, text, source }) => ({ id: tokenId, text, source }));
}

function choiceReport(report: GenerationReport): { metrics: MetricsReport; timings: LlamaTimings } {
  const { metrics, timings } = answerReport([report]);
  return { metrics, timings };
}

/** Ends early, without the report, where the generation was aborted. */
export async function* completionChunks(
  events: AsyncIterable<ChoiceEvent>,
  options: CompletionOptions,
): AsyncGenerator<Completion, void, undefined> {
  const { id, created, model, numPrompts, numChoicesPerPrompt, withLogprobs, withTokenSources } = options;
  const numChoices = numPrompts * numChoicesPerPrompt;
  const textOffsets = Array.from({ length: numChoices }, () => 0);
  const reports = new Map<number, GenerationReport>();
  const chunk = (choices: CompletionChoice[]): Completion => ({
    id,
    object: 'text_completion',
    created,
    model,
    choices,
    ...(options.withUsageChunk ? { usage: null } : {}),
  });

  for await (const { choice: index, event } of events) {
    if (event.type === 'generation-finished') {
      reports.set(index, event.report);
      const ownReport = numChoices > 1 ? choiceReport(event.report) : {};
      const last = chunk([{ index, text: '', logprobs: null, finish_reason: event.reason, ...ownReport }]);
      const isEnd = reports.size === numChoices;
      // Clients that did not ask for usage may not expect a chunk without choices.
      yield isEnd && !options.withUsageChunk ? { ...last, ...finalReport() } : last;
      if (isEnd && options.withUsageChunk) yield { ...chunk([]), ...finalReport() };
      continue;
    }
    const { text, tokens } = event;
    const logprobs = withLogprobs ? logprobsOf(tokens, textOffsets[index]!) : null;
    if (withLogprobs) textOffsets[index]! += tokens.reduce((length, token) => length + token.text.length, 0);
    const hasSources = withTokenSources && event.type === 'tokens-generated';
    if (text === '' && !withLogprobs && !hasSources) continue;
    const sources = hasSources ? { token_sources: tokenSourcesOf(tokens) } : {};
    yield chunk([{ index, text, logprobs, finish_reason: null, ...sources }]);
  }

  function finalReport(): ReturnType<typeof answerReport> {
    return answerReport(
      textOffsets.map((_, index) => reports.get(index)!),
      numChoicesPerPrompt,
    );
  }
}

function appendLogprobs(to: Logprobs | null, more: Logprobs | null): Logprobs | null {
  if (to === null || more === null) return to ?? more;
  to.tokens.push(...more.tokens);
  to.token_logprobs.push(...more.token_logprobs);
  to.top_logprobs.push(...more.top_logprobs);
  to.text_offset.push(...more.text_offset);
  return to;
}

/** Puts the parts together: the answer without `stream` is what its stream adds up to. */
export async function wholeCompletion(
  chunks: AsyncIterable<Completion>,
  options: CompletionOptions,
): Promise<Completion> {
  const { id, created, model, numPrompts, numChoicesPerPrompt, withTokenSources } = options;
  const choices = Array.from({ length: numPrompts * numChoicesPerPrompt }, (_, index): CompletionChoice => ({
    index,
    text: '',
    logprobs: null,
    finish_reason: null,
    ...(withTokenSources ? { token_sources: [] } : {}),
  }));
  let reports: Partial<Completion> = {};
  for await (const chunk of chunks) {
    for (const part of chunk.choices) {
      const whole = choices[part.index]!;
      const { text, logprobs, token_sources = [], ...rest } = part;
      whole.text += text;
      whole.logprobs = appendLogprobs(whole.logprobs, logprobs);
      whole.token_sources?.push(...token_sources);
      Object.assign(whole, rest);
    }
    const { usage, metrics, timings } = chunk;
    if (usage && metrics && timings) reports = { usage, metrics, timings };
  }
  return { id, object: 'text_completion', created, model, choices, ...reports };
}
