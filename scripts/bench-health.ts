/**
 * `npm run bench:health`: how long `/health` takes while prompts of about 1,000 tokens are prefilled, over a real socket
 * to a server of its own. Keeps the result in docs/results/health.json.
 */
import { writeFile } from 'node:fs/promises';
import { median } from '../src/decoding/robust-statistics.ts';
import { ServedProcess } from './load/served-process.ts';

const NUM_PROMPTS = 20;
const PROMPT = 'const a = [1, 2];\n'.repeat(110);

const server = await ServedProcess.start([]);
const { baseUrl } = server;
const milliseconds: number[] = [];
let numPromptTokens = 0;
for (let count = 0; count < NUM_PROMPTS; count += 1) {
  let isDone = false;
  const completion = fetch(`${baseUrl}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: PROMPT, max_tokens: 1, cache_prompt: false }),
  }).finally(() => (isDone = true));
  const answers = (async () => {
    // oxlint-disable-next-line no-unmodified-loop-condition -- the completion ends it
    while (!isDone) {
      const start = performance.now();
      await (await fetch(`${baseUrl}/health`)).text();
      milliseconds.push(performance.now() - start);
    }
  })();
  const { usage } = (await (await completion).json()) as { usage: { prompt_tokens: number } };
  numPromptTokens = usage.prompt_tokens;
  await answers;
}
await server.stop();

const record = {
  date: new Date().toISOString().slice(0, 10),
  numPromptTokens,
  numAnswers: milliseconds.length,
  medianMilliseconds: Number(median(milliseconds).toFixed(2)),
  maxMilliseconds: Number(Math.max(...milliseconds).toFixed(2)),
};
await writeFile('docs/results/health.json', `${JSON.stringify(record, null, 2)}\n`);
console.log(JSON.stringify(record));
