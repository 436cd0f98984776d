/**
 * `npm run bench:prefix`: the time to the first token of a long prompt that is computed from nothing, and of the same
 * prompt with a few tokens more, as an editor sends it at the next key stroke; prompt after prompt, each beginning
 * otherwise than all before. Computes the longer prompt from nothing too, to compare the tokens. Keeps the result in
 * docs/results/prefix.json.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultModelFolder } from '../src/config.ts';
import { GREEDY } from '../src/decoding/sampling-params.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.ts';
import { machineFacts } from './bench/machine-facts.ts';
import { openEngine } from './bench/open-engine.ts';
import { summarisePrefix, type PrefixRecord, type PrefixSample } from './bench/prefix-record.ts';
import { prompts } from './bench/prompts.ts';
import { runRequest, type Completed } from './bench/run-request.ts';
import { format } from './bench/statistics.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '0' },
    prompts: { type: 'string', default: '12' },
    'prompt-tokens': { type: 'string', default: '1500' },
    'new-tokens': { type: 'string', default: '20' },
    out: { type: 'string', default: 'docs/results/prefix.json' },
    'no-out': { type: 'boolean', default: false },
  },
});

const NUM_COMPLETION_TOKENS = 16;
/** Beyond the special tokens. */
const FIRST_TOKEN_ID = 100;
const numPromptTokens = Number(values['prompt-tokens']);
const numNewTokens = Number(values['new-tokens']);

const tokenizer = await loadTokenizer(values.model ?? defaultModelFolder());
const program = tokenizer.encode(prompts.map(({ text }) => text).join('\n'));
const engine = await openEngine(values.model, Number(values.threads), { prefixCache: true });

async function complete(prompt: readonly number[], cachePrompt: boolean): Promise<Completed> {
  const { numSpecTokens } = engine.model;
  const speculation = { maxDraftTokens: numSpecTokens, adaptive: true, measureBaseline: false };
  return await runRequest(engine, {
    prompt,
    numTokens: NUM_COMPLETION_TOKENS,
    sampling: GREEDY,
    speculation,
    cachePrompt,
  });
}

/** A token of its own first makes a prompt begin otherwise than every other. */
async function measure(index: number): Promise<PrefixSample> {
  const ids = [FIRST_TOKEN_ID + index, ...program.slice(index * 53), ...program];
  const longer = ids.slice(0, numPromptTokens + numNewTokens);
  const cold = await complete(longer.slice(0, numPromptTokens), true);
  const warm = await complete(longer, true);
  const reference = await complete(longer, false);
  return {
    coldMs: cold.report.timings.timeToFirstTokenSeconds * 1000,
    warmMs: warm.report.timings.timeToFirstTokenSeconds * 1000,
    numCachedTokens: warm.report.numCachedTokens,
    isIdentical: warm.tokenIds.join() === reference.tokenIds.join(),
  };
}

await measure(Number(values.prompts));
const samples: PrefixSample[] = [];
for (let index = 0; index < Number(values.prompts); index += 1) {
  const sample = await measure(index);
  samples.push(sample);
  console.log(
    `${format(sample.coldMs, 1)} ms, then ${format(sample.warmMs, 1)} ms with ${sample.numCachedTokens} tokens cached`,
  );
}
const { id } = engine.model;
await engine.close();

const record: PrefixRecord = {
  ...machineFacts(),
  model: id,
  numPromptTokens,
  numNewTokens,
  ...summarisePrefix(samples),
};
if (!values['no-out']) {
  await mkdir(dirname(values.out), { recursive: true });
  await writeFile(values.out, `${JSON.stringify(record, null, 2)}\n`);
}
console.log(JSON.stringify(record));
