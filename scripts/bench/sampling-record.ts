/** What `npm run bench:sampling` keeps, and the table of the README that is made of it. */
import { median } from '../../src/decoding/robust-statistics.ts';
import type { SamplingParams } from '../../src/decoding/sampling-params.ts';
import type { MachineFacts } from './machine-facts.ts';
import { format, round } from './statistics.ts';

/** A request without speculation, and right after it with. */
export interface SampledPair {
  readonly numTokens: number;
  readonly offSeconds: number;
  readonly numRounds: number;
  readonly decodeSeconds: number;
  readonly sampleSeconds: number;
}

export interface SamplingRow {
  readonly params: Partial<Omit<SamplingParams, 'logitBias' | 'seed'>>;
  /** Median over all pairs. */
  readonly speedupOverOff: number;
  /** Tokens per second of all requests without speculation. */
  readonly offTokensPerSecond: number;
  readonly tokensPerSecond: number;
  /** Of choosing, drafts included, in rounds with speculation. */
  readonly chooseMsPerRound: number;
  readonly chooseShare: number;
  /** Microseconds that one choice takes, the median, by the size of the vocabulary, in the record's order. */
  readonly chooseMicroseconds: readonly number[];
}

export interface SamplingRecord extends MachineFacts {
  readonly model: string;
  readonly numPrompts: number;
  readonly vocabSizes: readonly number[];
  readonly rows: readonly SamplingRow[];
}

export function summariseSampling(
  pairs: readonly SampledPair[],
): Omit<SamplingRow, 'params' | 'chooseMicroseconds'> {
  const sum = (figure: (pair: SampledPair) => number): number =>
    pairs.reduce((total, pair) => total + figure(pair), 0);
  const numTokens = sum((pair) => pair.numTokens);
  const decodeSeconds = sum((pair) => pair.decodeSeconds);
  const sampleSeconds = sum((pair) => pair.sampleSeconds);
  return {
    speedupOverOff: round(median(pairs.map((pair) => pair.offSeconds / pair.decodeSeconds))),
    offTokensPerSecond: round(numTokens / sum((pair) => pair.offSeconds)),
    tokensPerSecond: round(numTokens / decodeSeconds),
    chooseMsPerRound: round((1000 * sampleSeconds) / sum((pair) => pair.numRounds)),
    chooseShare: round(sampleSeconds / decodeSeconds),
  };
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
    `\`npm run bench:sampling\` (${record.model}, ${record.machine}, Node ${record.node}, ${record.date}): ${record.numPrompts} ` +
      `prompts with \`"off"\` and \`"auto"\` in turn, what choosing takes in rounds, drafts included, and one choice from ` +
      `as many logits, drawn at random, as a vocabulary has.`,
    '',
    `| sampling | off, tok/s | auto, tok/s | over off | choosing, ms a round | of the round | ${sizes.map((size) => `${size} logits, us`).join(' | ')} |`,
    `| --- | --: | --: | --: | --: | --: | ${sizes.map(() => '--:').join(' | ')} |`,
    ...rows.map(
      (row) =>
        `| ${settingOf(row)} | ${format(row.offTokensPerSecond, 0)} | ${format(row.tokensPerSecond, 0)} | ` +
        `${format(row.speedupOverOff)} | ${format(row.chooseMsPerRound, 3)} | ${format(100 * row.chooseShare, 1)}% | ` +
        `${row.chooseMicroseconds.map((value) => format(value, value < 100 ? 1 : 0)).join(' | ')} |`,
    ),
  ].join('\n');
}
