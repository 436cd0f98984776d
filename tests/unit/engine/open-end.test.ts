import { expect, it } from 'vitest';
import { openEnd } from '../../../src/engine/open-end.ts';
import { TokenTexts } from '../../../src/tokenizer/token-texts.ts';

/** The last one is special: it has no text. */
const words = ['f', 'o', 'r', 'for', 'form', ' ', ';', '\n', '\n  ', 'x', ''];
const texts = new TokenTexts(
  { decode: (tokenIds) => tokenIds.map((tokenId) => words[tokenId]).join('') },
  words.keys(),
  [],
);
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
  [['f'], []],
  [[], []],
] as const)('of %j', (tokens, expected) => {
  const open = openEnd(ids(...tokens), texts);
  expect(open.map(({ text, extensions }) => [text, extensions.map((tokenId) => words[tokenId])])).toEqual(
    expected,
  );
});

it('opens no more than six tokens', () => {
  const long = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'abcdefgh', 'bcdefgh'];
  const decode = (tokenIds: readonly number[]): string => tokenIds.map((tokenId) => long[tokenId]).join('');
  const longTexts = new TokenTexts({ decode }, long.keys(), []);
  expect(openEnd([8, 0, 1, 2, 3, 4, 5, 6], longTexts)[0]!.text).toBe('bcdefg');
});
