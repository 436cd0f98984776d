import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { defaultModelFolder } from '../../../src/config.ts';
import { Detokenizer } from '../../../src/tokenizer/detokenizer.ts';
import { loadTokenizer, type TextTokenizer, type TokenDecoder } from '../../../src/tokenizer/tokenizer.ts';
import { ByteTokenizer } from '../../support/byte-tokenizer.ts';

/** No character ends or begins with it. */
const INVALID_BYTE = 0xbc;

/** The text after every token, the rest at the end. */
function deltasOf(decoder: TokenDecoder, tokenIds: readonly number[]): string[] {
  const detokenizer = new Detokenizer(decoder);
  return [...tokenIds.map((tokenId) => detokenizer.push(tokenId)), detokenizer.flush()];
}

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.string({ unit: fc.constantFrom('\ufffd', '😀', '漢', 'a', ' ', '\n'), maxLength: 40 }),
);

describe('Detokenizer', () => {
  let tokenizer: TextTokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(defaultModelFolder());
  });

  it('gives deltas that add up to any text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(deltasOf(tokenizer, tokenizer.encode(text)).join('')).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  it('adds up to what all tokens decode to, whatever tokens with text of their own', () => {
    const wholeTokens = Array.from({ length: 1000 }, (_, tokenId) => tokenId).filter(
      (tokenId) => !tokenizer.tokenText(tokenId).includes('\ufffd'),
    );
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...wholeTokens), { maxLength: 40 }), (tokenIds) => {
        expect(deltasOf(tokenizer, tokenIds).join('')).toBe(tokenizer.decode(tokenIds));
      }),
    );
  });

  it('shows ASCII text token by token', () => {
    const tokenIds = tokenizer.encode('const total = items.length;\n');
    const texts = tokenIds.map((tokenId) => tokenizer.tokenText(tokenId));
    expect(deltasOf(tokenizer, tokenIds)).toEqual([...texts, '']);
  });

  it('goes on behind what is out already', () => {
    const tokenIds = tokenizer.encode('const total = 漢字;');
    for (let numBefore = 0; numBefore < 3; numBefore += 1) {
      const detokenizer = new Detokenizer(tokenizer, tokenIds.slice(0, numBefore));
      const text = tokenIds.slice(numBefore).map((tokenId) => detokenizer.push(tokenId));
      expect(text.join('') + detokenizer.flush()).toBe(tokenizer.decode(tokenIds.slice(numBefore)));
    }
  });

  it('leaves special tokens out', () => {
    expect(deltasOf(tokenizer, tokenizer.encode('a<|endoftext|>b'))).toEqual(['a', '', 'b', '']);
  });
});

describe('Detokenizer, where every token is a byte', () => {
  const bytes = new ByteTokenizer();
  const deltas = (tokenIds: readonly number[]): string[] => deltasOf(bytes, tokenIds);
  const invalid = (count: number): number[] => Array.from({ length: count }, () => INVALID_BYTE);

  it('gives deltas that add up to any text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(deltas(bytes.encode(text)).join('')).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  it('shows a character once and whole, with its last token', () => {
    expect(deltas(bytes.encode('é漢😀'))).toEqual(['', 'é', '', '', '漢', '', '', '', '😀', '']);
  });

  it('shows an unfinished character at the end as U+FFFD, and nothing where all is out', () => {
    expect(deltas(bytes.encode('漢').slice(0, -1))).toEqual(['', '', '\ufffd']);
    expect(deltas([])).toEqual(['']);
  });

  it('does not hold invalid bytes for ever', () => {
    const shown = deltas(invalid(100));
    const numHeld = shown
      .slice(0, -1)
      .map((_, index) => index + 1 - shown.slice(0, index + 1).join('').length);
    expect(Math.max(...numHeld)).toBe(8);
    expect(shown.join('')).toBe('\ufffd'.repeat(100));
  });

  it('lets invalid bytes go with the next character', () => {
    expect(deltas([INVALID_BYTE, ...bytes.encode('a')])).toEqual(['', '\ufffda', '']);
  });

  it.each([4, 5, 6, 7, 8, 9, 10])('keeps characters whole behind %i invalid bytes', (numInvalid) => {
    const shown = deltas([...invalid(numInvalid), ...bytes.encode('漢😀')]);
    expect(shown.join('')).toBe(`${'\ufffd'.repeat(numInvalid)}漢😀`);
  });
});
