import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { defaultModelFolder } from '../../../src/config.ts';
import { TokenTexts } from '../../../src/tokenizer/token-texts.ts';
import { loadTokenizer, type TextTokenizer } from '../../../src/tokenizer/tokenizer.ts';

describe('TokenTexts', () => {
  let tokenizer: TextTokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(defaultModelFolder());
  });

  it('makes up any text of its tokens', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme-ascii' }), (text) => {
        expect(
          tokenizer
            .encode(text)
            .map((tokenId) => tokenizer.texts.textOf(tokenId))
            .join(''),
        ).toBe(text);
      }),
    );
  });

  it('has no text of special tokens, and none of parts of characters', () => {
    const { texts } = tokenizer;
    for (const name of ['<|endoftext|>', '<|fim_middle|>'])
      expect(texts.textOf(tokenizer.encode(name)[0]!)).toBeNull();
    const parts = tokenizer.encode('𓂀');
    expect(parts.length).toBeGreaterThan(1);
    expect(parts.map((tokenId) => texts.textOf(tokenId))).toEqual(parts.map(() => null));
    expect(texts.textOf(1_000_000)).toBeNull();
  });

  it('finds all tokens that begin with a text and go on', () => {
    const { texts } = tokenizer;
    const all = Array.from({ length: 6144 }, (_, tokenId) => texts.textOf(tokenId));
    for (const text of ['\n', ' ', ' re', 'retu', ' return', '(', '{', 'é', 'zz', '\uffff']) {
      const expected = all.flatMap((own, tokenId) =>
        own !== null && own !== text && own.startsWith(text) ? [tokenId] : [],
      );
      expect(texts.extensionsOf(text).toSorted((a, b) => a - b)).toEqual(expected);
    }
    expect(texts.extensionsOf('retu')).toContain(tokenizer.encode('return')[0]);
    expect(texts.extensionsOf('\n').length).toBeGreaterThan(10);
  });

  it('keeps the space that some tokenizers leave out of the first token', () => {
    const words = ['a', ' b', ' bc'];
    const decode = (tokenIds: readonly number[]): string =>
      tokenIds
        .map((tokenId) => words[tokenId])
        .join('')
        .trimStart();
    const texts = new TokenTexts({ decode }, words.keys(), [0]);
    expect([0, 1, 2].map((tokenId) => texts.textOf(tokenId))).toEqual(words);
    expect(texts.extensionsOf(' ')).toEqual([1, 2]);
  });
});
