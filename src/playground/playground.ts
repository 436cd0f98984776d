/** The page at `/`: completes a text where the cursor is, and shows which tokens were drafts and what they gained. */
import {
  assertOk,
  headersOf,
  RefusedError,
  streamCompletion,
  type CompletionPart,
  type CompletionRequest,
  type TokenSource,
} from './completion-stream.ts';
import { reportRows } from './report-rows.ts';

const RETRY_MS = 1000;

function element<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`expected a ${kind.name} of id ${id}`);
  return found;
}

const form = element('form', HTMLFormElement);
const prompt = element('prompt', HTMLTextAreaElement);
const speculation = element('speculation', HTMLSelectElement);
const temperature = element('temperature', HTMLInputElement);
const maxTokens = element('max-tokens', HTMLInputElement);
const measure = element('measure', HTMLInputElement);
const keyLabel = element('key-label', HTMLLabelElement);
const key = element('key', HTMLInputElement);
const modelName = element('model', HTMLOutputElement);
const complete = element('complete', HTMLButtonElement);
const stop = element('stop', HTMLButtonElement);
const take = element('take', HTMLButtonElement);
const alertText = element('error', HTMLParagraphElement);
const text = element('text', HTMLPreElement);
const report = element('report', HTMLDListElement);

interface Model {
  readonly id: string;
  readonly speculative: { readonly num_spec_tokens: number };
}

let model: Model | null = null;
let running: AbortController | null = null;
/** What the completion belongs into, and itself. */
let completed = { before: '', completion: '', after: '' };

function span(content: string, className: string): HTMLSpanElement {
  const made = document.createElement('span');
  made.className = className;
  made.textContent = content;
  return made;
}

function showError(error: unknown): void {
  if (error instanceof RefusedError && error.status === 401) keyLabel.hidden = false;
  alertText.textContent = error instanceof Error ? error.message : String(error);
  alertText.hidden = false;
}

async function loadModel(): Promise<void> {
  const response = await fetch('v1/models', { headers: headersOf(key.value) });
  await assertOk(response);
  const { data } = (await response.json()) as { data: [Model] };
  model = data[0];
  const { num_spec_tokens: maxDrafts } = model.speculative;
  modelName.textContent = `${model.id}, up to ${maxDrafts} drafts a round`;
  const depths = Array.from({ length: maxDrafts }, (_, index) => String(index + 1));
  speculation.append(...depths.map((depth) => new Option(`${depth} always`, depth)));
}

/** Until there is one: the server answers while it loads. */
async function awaitModel(): Promise<void> {
  for (;;) {
    try {
      await loadModel();
      alertText.hidden = true;
      return;
    } catch (error) {
      showError(error);
      if (!(error instanceof RefusedError) || error.status !== 503) return;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function requestOf({ id, speculative }: Model): CompletionRequest {
  const { before, after } = completed;
  const chosen = speculation.value;
  return {
    model: id,
    prompt: before,
    ...(after.trim() === '' ? {} : { suffix: after }),
    max_tokens: maxTokens.valueAsNumber,
    temperature: temperature.valueAsNumber,
    speculation:
      chosen === 'off'
        ? 'off'
        : {
            num_draft_tokens: chosen === 'auto' ? speculative.num_spec_tokens : Number(chosen),
            adaptive: chosen === 'auto',
            measure_baseline: measure.checked,
          },
  };
}

/** Tokens whose bytes are part of a character have no text of their own; then the part's text is shown as one. */
function spansOf(partText: string, sources: readonly TokenSource[]): HTMLSpanElement[] {
  const isWhole = sources.map((token) => token.text).join('') === partText;
  const shown = isWhole ? sources : [{ text: partText, source: 'target' as const }];
  return shown.map((token) => span(token.text, token.source));
}

function show({ choices, metrics }: CompletionPart, after: HTMLSpanElement): void {
  const [choice] = choices;
  if (choice !== undefined) {
    completed.completion += choice.text;
    after.before(...spansOf(choice.text, choice.token_sources ?? []));
  }
  if (metrics === undefined) return;
  const rows = reportRows(metrics).flatMap(([name, value]) => {
    const term = document.createElement('dt');
    const details = document.createElement('dd');
    term.textContent = name;
    details.textContent = value;
    return [term, details];
  });
  report.replaceChildren(...rows);
}

async function run(): Promise<void> {
  if (running !== null) return;
  running = new AbortController();
  complete.disabled = true;
  take.disabled = true;
  stop.disabled = false;
  alertText.hidden = true;
  const cursor = prompt.selectionEnd;
  completed = { before: prompt.value.slice(0, cursor), completion: '', after: prompt.value.slice(cursor) };
  const after = span(completed.after, 'given');
  text.replaceChildren(span(completed.before, 'given'), after);
  report.replaceChildren();
  try {
    if (model === null) await loadModel();
    const parts = streamCompletion('v1/completions', requestOf(model!), key.value, running.signal);
    for await (const part of parts) show(part, after);
  } catch (error) {
    if (!running.signal.aborted) showError(error);
  }
  running = null;
  complete.disabled = false;
  stop.disabled = true;
  take.disabled = completed.completion === '';
}

function takeOver(): void {
  const { before, completion, after } = completed;
  prompt.value = before + completion + after;
  prompt.focus();
  prompt.setSelectionRange(before.length + completion.length, before.length + completion.length);
  take.disabled = true;
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void run();
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') running?.abort();
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit();
  }
});
// It belongs to the text as it was.
prompt.addEventListener('input', () => (take.disabled = true));
stop.addEventListener('click', () => running?.abort());
take.addEventListener('click', takeOver);
void awaitModel();
