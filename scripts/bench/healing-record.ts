/** What `npm run bench:healing` keeps, and the table of the README that is made of it. */
import { positionKey, tokenBits } from '../../src/decoding/random.ts';
import { table } from './markdown-table.ts';
import { format, round } from './statistics.ts';

/** A text cut in two. */
export interface Cut {
  readonly prompt: string;
  /** Of the line that the prompt ends in. */
  readonly rest: string;
}

type IsPlace = (text: string, at: number) => boolean;

const isLetter = (text: string, at: number): boolean => /\w/.test(text[at] ?? '');

/** Where a prompt may end, by name. */
export const PLACES: Readonly<Record<string, IsPlace>> = {
  anywhere: () => true,
  'within a word': (text, at) => isLetter(text, at - 1) && isLetter(text, at),
  'behind a line break': (text, at) => text[at - 1] === '\n',
};

const MIN_PROMPT_CHARACTERS = 400;
const MAX_PROMPT_CHARACTERS = 1500;
const MAX_REST_CHARACTERS = 100;

/** The first such place behind the `draw`th random one; null where a text is too short, or has nothing left of the line. */
export function cutAt(text: string, draw: number, isPlace: IsPlace): Cut | null {
  const share = (tokenBits(positionKey(1, draw), 0) >>> 0) / 2 ** 32;
  let at = MIN_PROMPT_CHARACTERS + Math.floor(share * (text.length - MIN_PROMPT_CHARACTERS));
  while (at < text.length && !isPlace(text, at)) at += 1;
  const rest = text.slice(at).split('\n', 1)[0]!;
  if (text.length < MIN_PROMPT_CHARACTERS || rest.trim() === '' || rest.length > MAX_REST_CHARACTERS)
    return null;
  return { prompt: text.slice(Math.max(0, at - MAX_PROMPT_CHARACTERS), at), rest };
}

interface Shares {
  readonly healed: number;
  readonly unhealed: number;
}

export interface HealingSummary {
  /** Of the cuts, those whose rest of the line was given, white space at its end aside. */
  readonly lines: Shares;
  /** Those whose next word was given: letters and digits, or one other character, behind white space. */
  readonly words: Shares;
}

export interface HealingRecord {
  readonly date: string;
  readonly model: string;
  readonly machine: string;
  readonly node: string;
  /** Of each place. */
  readonly numCuts: number;
  readonly results: Record<string, HealingSummary>;
}

export function summariseHealing(
  answers: readonly { readonly rest: string; readonly healed: string; readonly unhealed: string }[],
): HealingSummary {
  const nextWord = (text: string): string => /^\s*(?:\w+|\W|$)/.exec(text)![0];
  const shares = (isRight: (given: string, rest: string) => boolean): Shares => {
    const share = (key: keyof Shares): number =>
      round(answers.filter((answer) => isRight(answer[key], answer.rest)).length / answers.length);
    return { healed: share('healed'), unhealed: share('unhealed') };
  };
  return {
    lines: shares((given, rest) => given.trimEnd() === rest.trimEnd()),
    words: shares((given, rest) => nextWord(given) === nextWord(rest)),
  };
}

export function healingTable({ results, numCuts, model, date }: HealingRecord): string {
  const percent = (share: number): string => `${format(share * 100, 1)}%`;
  const rows = Object.entries(results).map(([place, { lines, words }]) => [
    place,
    ...[lines.healed, lines.unhealed, words.healed, words.unhealed].map(percent),
  ]);
  const columns = ['the prompt ends', 'rest of the line', 'as tokenised', 'next word', 'as tokenised'];
  return [
    `\`npm run bench:healing\` (${model}, ${date}): foretoken's own sources, which nobody trained on, cut in ${numCuts} places of each ` +
      'kind; how often greedy decoding gives what follows, with token healing and with the prompt left as it is tokenised.',
    '',
    ...table(columns, rows),
  ].join('\n');
}
