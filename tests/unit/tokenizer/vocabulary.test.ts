import { beforeAll, describe, expect, it } from 'vitest';
import { defaultModelFolder } from '../../../src/config.ts';
import { loadTokenizer, type TextTokenizer } from '../../../src/tokenizer/tokenizer.ts';
import { Vocabulary } from '../../../src/tokenizer/vocabulary.ts';

describe('Vocabulary', () => {
  it('finds tokens that begin as some others do together, and go on', () => {
    const words = ['a', 'ab', 'abc', 'b', 'bc', 'abd', 'c'];
    const vocabulary = new Vocabulary(new Map(words.map((word, tokenId) => [word, tokenId])));
    const extensionsOf = (...tokens: readonly string[]): string[] | undefined =>
      vocabulary.extensionsOf(tokens.map((token) => words.indexOf(token)))?.map((tokenId) => words[tokenId]!);
    expect(extensionsOf('a')).toEqual(['ab', 'abc', 'abd']);
    expect(extensionsOf('a', 'b')).toEqual(['abc', 'abd']);
    expect(extensionsOf('b')).toEqual(['bc']);
    expect(extensionsOf('c')).toEqual([]);
    expect(extensionsOf('b', 'a')).toEqual([]);
    expect(vocabulary.extensionsOf([99])).toBeNull();
  });

  describe('of the shipped model', () => {
    let tokenizer: TextTokenizer;
    beforeAll(async () => {
      tokenizer = await loadTokenizer(defaultModelFolder());
    });

    it('finds all tokens whose text begins so', () => {
      const all = Array.from({ length: 6144 }, (_, tokenId) => tokenizer.decode([tokenId]));
      for (const text of ['\n', ' ', ' re', 'retu', ' return', '(', '{', 'zz']) {
        const expected = all.flatMap((own, tokenId) =>
          own !== text && own.startsWith(text) ? [tokenId] : [],
        );
        const found = tokenizer.vocabulary.extensionsOf(tokenizer.encode(text))!;
        expect(found.toSorted((a, b) => a - b)).toEqual(expected);
      }
    });

    it('knows no special tokens', () => {
      const special = tokenizer.encode('<|endoftext|>');
      expect(tokenizer.vocabulary.extensionsOf(special)).toBeNull();
      expect(tokenizer.vocabulary.extensionsOf([...special, ...tokenizer.encode('a')])).toBeNull();
      for (const tokenId of tokenizer.vocabulary.extensionsOf(tokenizer.encode('<'))!)
        expect(tokenizer.decode([tokenId])).toMatch(/^</);
    });
  });
});
