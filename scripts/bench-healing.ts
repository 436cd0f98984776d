/**
 * `npm run bench:healing`: what the model makes of prompts that end anywhere. foretoken's own sources, which nobody trained on, are cut
 * at random: anywhere, within words, and behind line breaks; how often greedy decoding gives the rest of the line, and its
 * next word, with token healing and without. Keeps the result in docs/results/healing.json.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { GREEDY } from '../src/decoding/sampling-params.ts';
import { cutAt, PLACES, summariseHealing, type Cut, type HealingRecord } from './bench/healing-record.ts';
import { machineFacts } from './bench/machine-facts.ts';
import { openEngine } from './bench/open-engine.ts';
import { format } from './bench/statistics.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '0' },
    cuts: { type: 'string', default: '200' },
    out: { type: 'string', default: 'docs/results/healing.json' },
    'no-out': { type: 'boolean', default: false },
  },
});
const MAX_LINE_TOKENS = 40;

const folder = join(import.meta.dirname, '..', 'src');
const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.ts')).toSorted();
const files = await Promise.all(names.map(async (name) => await readFile(join(folder, name), 'utf8')));
const engine = await openEngine(values.model, Number(values.threads));

async function restOfLine(prompt: string, tokenHealing: boolean): Promise<string> {
  const request = {
    maxTokens: MAX_LINE_TOKENS,
    sampling: GREEDY,
    stop: ['\n'],
    ignoreEos: false,
    echo: false,
  };
  let text = '';
  for await (const event of engine.generate({ ...request, prompt, tokenHealing }))
    if (event.type === 'tokens-generated') text += event.text;
  return text;
}

const results: HealingRecord['results'] = {};
for (const [place, isPlace] of Object.entries(PLACES)) {
  const cuts: Cut[] = [];
  for (let index = 0; cuts.length < Number(values.cuts); index += 1) {
    const cut = cutAt(files[index % files.length]!, index, isPlace);
    if (cut !== null) cuts.push(cut);
  }
  const answers: { rest: string; healed: string; unhealed: string }[] = [];
  for (const { prompt, rest } of cuts)
    answers.push({ rest, healed: await restOfLine(prompt, true), unhealed: await restOfLine(prompt, false) });
  const summary = summariseHealing(answers);
  results[place] = summary;
  console.log(
    `${place}: rest of the line ${format(summary.lines.healed, 3)} healed, ${format(summary.lines.unhealed, 3)} not; ` +
      `next word ${format(summary.words.healed, 3)}, ${format(summary.words.unhealed, 3)}`,
  );
}
const { id } = engine.model;
await engine.close();

const record: HealingRecord = { ...machineFacts(), model: id, numCuts: Number(values.cuts), results };
if (!values['no-out']) {
  await mkdir(dirname(values.out), { recursive: true });
  await writeFile(values.out, `${JSON.stringify(record, null, 2)}\n`);
}
console.log(JSON.stringify(record));
