import fc from 'fast-check';
import { expect, it } from 'vitest';
import { defaultModelFolder } from '../../../src/config.ts';
import { openEnd } from '../../../src/engine/open-end.ts';
import { loadTokenizer, TextTokenizer } from '../../../src/tokenizer/tokenizer.ts';
import { Vocabulary } from '../../../src/tokenizer/vocabulary.ts';

/** Tokens are words; the last one is special: it has no text. */
class WordTokenizer extends TextTokenizer {
  private readonly words: readonly string[];

  constructor(words: readonly string[]) {
    super(
      undefined,
      new Vocabulary(
        new Map([...words.entries()].flatMap(([tokenId, word]) => (word === '' ? [] : [[word, tokenId]]))),
      ),
    );
    this.words = words;
  }

  override decode(tokenIds: readonly number[]): string {
    return tokenIds.map((tokenId) => this.words[tokenId]).join('');
  }
}

const words = ['f', 'o', 'r', 'for', 'form', ' ', ';', '\n', '\n  ', 'x', '\ufffd', ''];
const tokenizer = new WordTokenizer(words);
const ids = (...tokens: readonly string[]): number[] => tokens.map((token) => words.indexOf(token));

it.each([
  [['x', '\n'], [['\n', ['\n  ']]]],
  [
    ['x', 'f', 'o'],
    [
      ['fo', ['for', 'form']],
      ['o', []],
    ],
  ],
  [
    ['x', ';', 'f', 'o', 'r'],
    [
      ['for', ['form']],
      ['or', []],
      ['r', []],
    ],
  ],
  [['x', 'for'], [['for', ['form']]]],
  [['x', ';'], []],
  [['x', 'form'], []],
  // The first token stays, and nothing reaches over a special one.
  [['f', 'o'], []],
  [['x', '', 'f'], [['f', ['for', 'form']]]],
  [['x', 'f', ''], []],
  // What may be within a character stays.
  [['x', '\ufffd', 'f'], []],
  [['f'], []],
  [[], []],
] as const)('of %j', (tokens, expected) => {
  const open = openEnd(ids(...tokens), tokenizer);
  expect(open.map(({ text, extensions }) => [text, extensions.map((tokenId) => words[tokenId])])).toEqual(
    expected,
  );
});

it('opens a text between characters alone', async () => {
  const shipped = await loadTokenizer(defaultModelFolder());
  const units = fc.constantFrom('é', '漢', '😀', 'retu', 'a', ' ', '\n', '{', '\u3000');
  fc.assert(
    fc.property(fc.array(units, { minLength: 1, maxLength: 8 }), (parts) => {
      const prompt = parts.join('');
      const tokenIds = shipped.encode(prompt);
      const open = openEnd(tokenIds, shipped);
      for (const [index, { text, extensions }] of open.entries()) {
        const kept = tokenIds.slice(0, tokenIds.length - open.length + index);
        const begins = extensions.map((tokenId) => shipped.decode([...kept, tokenId]));
        expect(begins.filter((begun) => !begun.startsWith(prompt))).toEqual([]);
        expect(extensions.length === 0 || shipped.decode(kept) + text === prompt).toBe(true);
      }
    }),
  );
});

it('opens no more than six tokens', () => {
  const long = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'abcdefgh', 'bcdefgh'];
  expect(openEnd([8, 0, 1, 2, 3, 4, 5, 6], new WordTokenizer(long))[0]!.text).toBe('bcdefg');
});
