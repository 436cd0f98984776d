/** What `npm run bench:typing` keeps, and the table of the README that is made of it. */
import { median } from '../../src/decoding/robust-statistics.ts';
import { table } from './markdown-table.ts';
import { format, round } from './statistics.ts';

export type TypingStep = 'the same again' | 'a key typed' | 'a word taken' | 'a line taken';

/** Seconds of decoding behind the first token, of the same tokens. */
export interface TypingSample {
  /** With what was answered before. */
  readonly rememberingSeconds: number;
  readonly forgetfulSeconds: number;
  /** Without speculation. */
  readonly plainSeconds: number;
  readonly numAcceptedEarlierDrafts: number;
  /** Whether all three gave the same tokens. */
  readonly isIdentical: boolean;
}

/** Medians over the prompts. */
export interface TypingSummary {
  readonly numPrompts: number;
  readonly numIdentical: number;
  readonly tokensPerSecond: {
    readonly off: number;
    readonly forgetful: number;
    readonly remembering: number;
  };
  /** Over decoding without speculation. */
  readonly speedup: { readonly forgetful: number; readonly remembering: number };
  /** Of the answer's tokens after the first, those that were drafts from the earlier answer. */
  readonly earlierShare: number;
}

export interface TypingRecord {
  readonly date: string;
  readonly model: string;
  readonly machine: string;
  readonly node: string;
  readonly numTokens: number;
  readonly results: Readonly<Record<string, TypingSummary>>;
}

export function summariseTyping(samples: readonly TypingSample[], numTokens: number): TypingSummary {
  const numDecoded = numTokens - 1;
  const medianOf = (value: (sample: TypingSample) => number): number => round(median(samples.map(value)));
  return {
    numPrompts: samples.length,
    numIdentical: samples.filter(({ isIdentical }) => isIdentical).length,
    tokensPerSecond: {
      off: medianOf(({ plainSeconds }) => numDecoded / plainSeconds),
      forgetful: medianOf(({ forgetfulSeconds }) => numDecoded / forgetfulSeconds),
      remembering: medianOf(({ rememberingSeconds }) => numDecoded / rememberingSeconds),
    },
    speedup: {
      forgetful: medianOf(({ plainSeconds, forgetfulSeconds }) => plainSeconds / forgetfulSeconds),
      remembering: medianOf(({ plainSeconds, rememberingSeconds }) => plainSeconds / rememberingSeconds),
    },
    earlierShare: medianOf(({ numAcceptedEarlierDrafts }) => numAcceptedEarlierDrafts / numDecoded),
  };
}

export function typingTable({ results, numTokens, ...record }: TypingRecord): string {
  const summaries = Object.values(results);
  const sum = (figure: (summary: TypingSummary) => number): number =>
    summaries.reduce((total, summary) => total + figure(summary), 0);
  const rows = Object.entries(results).map(([step, { tokensPerSecond, speedup, earlierShare }]) => [
    step,
    ...[tokensPerSecond.off, tokensPerSecond.forgetful, tokensPerSecond.remembering].map((rate) =>
      format(rate, 0),
    ),
    `**${format(speedup.remembering)}**`,
    `${format(earlierShare * 100, 0)}%`,
  ]);
  const columns = ['sent', 'off, tok/s', 'not remembering', 'remembering', 'speedup', 'tokens from before'];
  return [
    `\`npm run bench:typing\` (${record.model}, ${record.machine}, Node ${record.node}, ${record.date}): a prompt is answered with ` +
      `${numTokens} tokens, greedily, then sent again, as it was or with some of the answer taken over. Tokens per second without ` +
      'speculation, with it, and with what was answered before, and the speedup of the latter; medians of ' +
      `${summaries[0]!.numPrompts} prompts. ${sum(({ numIdentical }) => numIdentical)} of ${sum(({ numPrompts }) => numPrompts)} ` +
      'completions were the same all three times.',
    '',
    ...table(columns, rows),
  ].join('\n');
}
