/** What `npm run bench:prefix` keeps, and the sentence of the README that is made of it. */
import { median } from '../../src/decoding/robust-statistics.ts';
import { format, round } from './statistics.ts';

/** Milliseconds from a request's admission to its first token. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** One prompt: computed from nothing, then with new tokens behind it, and these once more from nothing. */
export interface PrefixSample {
  readonly coldMs: number;
  readonly warmMs: number;
  readonly numCachedTokens: number;
  /** Whether the longer prompt gave the same tokens both times. */
  readonly isIdentical: boolean;
}

export interface PrefixRecord {
  readonly date: string;
  readonly model: string;
  readonly machine: string;
  readonly node: string;
  readonly numPromptTokens: number;
  readonly numNewTokens: number;
  readonly numPrompts: number;
  readonly numIdentical: number;
  readonly cold: Spread;
  readonly warm: Spread;
  /** Median over the prompts of cold / warm. */
  readonly ratio: number;
}

const spread = (values: readonly number[]): Spread => ({
  median: round(median(values)),
  min: round(Math.min(...values)),
  max: round(Math.max(...values)),
});

export function summarisePrefix(
  samples: readonly PrefixSample[],
): Pick<PrefixRecord, 'numPrompts' | 'numIdentical' | 'cold' | 'warm' | 'ratio'> {
  return {
    numPrompts: samples.length,
    numIdentical: samples.filter(({ isIdentical }) => isIdentical).length,
    cold: spread(samples.map(({ coldMs }) => coldMs)),
    warm: spread(samples.map(({ warmMs }) => warmMs)),
    ratio: round(median(samples.map(({ coldMs, warmMs }) => coldMs / warmMs))),
  };
}

export function prefixSentence(record: PrefixRecord): string {
  const { cold, warm, numPromptTokens, numNewTokens, numPrompts } = record;
  return (
    `\`npm run bench:prefix\` (${record.model}, ${record.machine}, Node ${record.node}, ${record.date}): the first token of ` +
    `a prompt of ${numPromptTokens} tokens takes ${format(cold.median, 0)} ms from nothing, and ${format(warm.median, 1)} ms ` +
    `where the same prompt comes again with ${numNewTokens} tokens more: **${format(record.ratio, 1)} times** as fast ` +
    `(medians of ${numPrompts} prompts; ${record.numIdentical} of ${numPrompts} gave the same tokens as from nothing).`
  );
}
