/** What `npm run bench:sampling` keeps, and the table of the README that is made of it. */
import type { SamplingParams } from '../../src/decoding/sampling-params.ts';
import type { MachineFacts } from './machine-facts.ts';
import { format } from './statistics.ts';

/** Sums over the requests of one setting. */
export interface RoundTotals {
  readonly numRounds: number;
  readonly numTokens: number;
  readonly sampleSeconds: number;
  readonly decodeSeconds: number;
}

export interface SamplingRow extends RoundTotals {
  readonly params: Partial<Omit<SamplingParams, 'logitBias' | 'seed'>>;
  /** Microseconds that one choice takes, the median, by the size of the vocabulary, in the record's order. */
  readonly chooseMicroseconds: readonly number[];
}

export interface SamplingRecord extends MachineFacts {
  readonly model: string;
  readonly numPrompts: number;
  readonly vocabSizes: readonly number[];
  readonly rows: readonly SamplingRow[];
}

const WIRE_NAMES: Readonly<Record<string, string>> = {
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  presencePenalty: 'presence_penalty',
  repetitionPenalty: 'repetition_penalty',
};

function settingOf({ params }: SamplingRow): string {
  const named = Object.entries(params).map(([name, value]) => `${WIRE_NAMES[name] ?? name} ${value}`);
  return named.join(', ');
}

export function samplingTable(record: SamplingRecord): string {
  const { vocabSizes, rows } = record;
  const sizes = vocabSizes.map((size) => size.toLocaleString('en'));
  return [
    `\`npm run bench:sampling\` (${record.model}, ${record.machine}, Node ${record.node}, ${record.date}): what choosing takes in ` +
      `rounds of ${record.numPrompts} prompts, drafts included, and one choice from as many logits, drawn from a normal distribution, as a ` +
      `vocabulary has.`,
    '',
    `| sampling | tok/s | choosing, ms a round | of the round | ${sizes.map((size) => `${size} logits, us`).join(' | ')} |`,
    `| --- | --: | --: | --: | ${sizes.map(() => '--:').join(' | ')} |`,
    ...rows.map((row) => {
      const { numTokens, numRounds, sampleSeconds, decodeSeconds } = row;
      return (
        `| ${settingOf(row)} | ${format(numTokens / decodeSeconds, 0)} | ${format((1000 * sampleSeconds) / numRounds, 3)} | ` +
        `${format((100 * sampleSeconds) / decodeSeconds, 1)}% | ` +
        `${row.chooseMicroseconds.map((value) => format(value, value < 100 ? 1 : 0)).join(' | ')} |`
      );
    }),
  ].join('\n');
}
