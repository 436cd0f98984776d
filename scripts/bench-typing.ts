/**
 * `npm run bench:typing`: decoding in an editor, whose next prompt asks for much of what the last answer said. Each of
 * the benchmark's prompts is answered, then sent again: as it was, with the next key of the answer typed, and with its
 * first word or line taken over; each of these with what is remembered of the answer, without (`cache_prompt: false`), and
 * without speculation, in turn. Keeps the result in docs/results/typing.json.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { GREEDY } from '../src/decoding/sampling-params.ts';
import { machineFacts } from './bench/machine-facts.ts';
import { openEngine } from './bench/open-engine.ts';
import { prompts } from './bench/prompts.ts';
import { runRequest, type Completed } from './bench/run-request.ts';
import { format } from './bench/statistics.ts';
import {
  summariseTyping,
  type TypingRecord,
  type TypingSample,
  type TypingStep,
} from './bench/typing-record.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '0' },
    prompts: { type: 'string', default: '32' },
    'new-tokens': { type: 'string', default: '64' },
    out: { type: 'string', default: 'docs/results/typing.json' },
    'no-out': { type: 'boolean', default: false },
  },
});
const numTokens = Number(values['new-tokens']);

/** What of the answer the next prompt has taken over. */
const steps: Readonly<Record<TypingStep, (answer: string) => string>> = {
  'the same again': () => '',
  'a key typed': (answer) => answer.slice(0, 1),
  'a word taken': (answer) => /^\s*(?:\w+|\W)/.exec(answer)![0],
  'a line taken': (answer) => /^\s*[^\n]*/.exec(answer)![0],
};

async function measure(step: TypingStep): Promise<readonly TypingSample[]> {
  // One for each, so that none knows what another has answered.
  const engine = await openEngine(values.model, Number(values.threads), { prefixCache: true });
  const { numSpecTokens } = engine.model;
  const complete = async (prompt: string, maxDraftTokens: number, cachePrompt: boolean): Promise<Completed> =>
    await runRequest(engine, {
      prompt,
      numTokens,
      sampling: GREEDY,
      speculation: { maxDraftTokens, adaptive: true, measureBaseline: false },
      cachePrompt,
    });
  const samples: TypingSample[] = [];
  for (const { text } of prompts.slice(0, Number(values.prompts))) {
    const answer = await complete(text, numSpecTokens, true);
    const next = text + steps[step](answer.text);
    const remembering = await complete(next, numSpecTokens, true);
    const forgetful = await complete(next, numSpecTokens, false);
    const plain = await complete(next, 0, false);
    const seconds = ({ report }: Completed): number => report.timings.decodeSeconds;
    const { earlierText } = remembering.report.speculation;
    samples.push({
      rememberingSeconds: seconds(remembering),
      forgetfulSeconds: seconds(forgetful),
      plainSeconds: seconds(plain),
      numAcceptedEarlierDrafts: earlierText.numAcceptedDraftTokens,
      isIdentical: [remembering, forgetful].every(
        ({ tokenIds }) => tokenIds.join() === plain.tokenIds.join(),
      ),
    });
  }
  model = engine.model.id;
  await engine.close();
  return samples;
}

let model = '';
const results: [TypingStep, ReturnType<typeof summariseTyping>][] = [];
for (const step of Object.keys(steps) as TypingStep[]) {
  const summary = summariseTyping(await measure(step), numTokens);
  results.push([step, summary]);
  console.log(
    `${step}: ${format(summary.tokensPerSecond.off, 0)} tokens/s without speculation, ` +
      `${format(summary.tokensPerSecond.forgetful, 0)} with it, ${format(summary.tokensPerSecond.remembering, 0)} remembering`,
  );
}

const record: TypingRecord = { ...machineFacts(), model, numTokens, results: Object.fromEntries(results) };
if (!values['no-out']) {
  await mkdir(dirname(values.out), { recursive: true });
  await writeFile(values.out, `${JSON.stringify(record, null, 2)}\n`);
}
console.log(JSON.stringify(record));
