import fc from 'fast-check';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { defaultModelFolder } from '../../../src/config.ts';
import { loadTokenizer, TextTokenizer } from '../../../src/tokenizer/tokenizer.ts';

describe('TextTokenizer', () => {
  let tokenizer: TextTokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(defaultModelFolder());
  });

  it('gives any text back', () => {
    const anyText = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), fc.string());
    fc.assert(
      fc.property(anyText, (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  it.each(['don\u2019t , x .y', '\r\n\t  if (a) {\r\n', '\u0000\u00a0\ufeff\u2028', 'e\u0301 \u00e9', '👩‍👩‍👧'])(
    'gives %j back, neither normalised nor tidied',
    (text) => {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    },
  );

  it('takes fewer tokens than characters for code', () => {
    const text = 'export function add(a: number, b: number): number {\n  return a + b;\n}\n';
    expect(tokenizer.encode(text).length).toBeLessThan(text.length / 2);
  });

  it('says what tokens add to a text, where a first space would be left out as well', () => {
    const [one, two] = [tokenizer.encode('let'), tokenizer.encode(' a = 1')];
    expect(tokenizer.textBehind(one, two)).toBe(' a = 1');
    expect(tokenizer.textBehind([], two)).toBe(' a = 1');
    class Trimming extends TextTokenizer {
      override decode(tokenIds: readonly number[]): string {
        return tokenizer.decode(tokenIds).trimStart();
      }
    }
    expect(new Trimming(undefined, tokenizer.vocabulary).textBehind(one, two)).toBe(' a = 1');
  });

  it.each(['<|endoftext|>', '<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'])(
    'takes %s for one token, which has a name and no text',
    (name) => {
      const [special, ...rest] = tokenizer.encode(name);
      expect(rest).toEqual([]);
      expect(tokenizer.tokenText(special!)).toBe(name);
      expect(tokenizer.decode([special!])).toBe('');
      const [before, between, after] = ['let a', name, ' = 1;'];
      expect(tokenizer.encode(before + between + after)).toEqual([
        ...tokenizer.encode(before),
        special,
        ...tokenizer.encode(after),
      ]);
    },
  );

  it('adds nothing to a text', () => {
    expect(tokenizer.encode('')).toEqual([]);
    expect(tokenizer.decode([])).toBe('');
    expect(tokenizer.encode('a')).toHaveLength(1);
  });

  it('shows a token that is no whole character as U+FFFD', () => {
    const tokenIds = tokenizer.encode('漢');
    expect(tokenIds.length).toBeGreaterThan(1);
    expect(tokenIds.map((tokenId) => tokenizer.tokenText(tokenId))).toContain('\ufffd');
  });
});

describe('loadTokenizer', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tokenizer-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  const expectRefusal = async (file: string, message: string): Promise<void> => {
    await expect(loadTokenizer(folder)).rejects.toMatchObject({
      code: 'invalid_model',
      param: join(folder, file),
      message: expect.stringContaining(message) as string,
    });
  };

  it('names the file that is missing', async () => {
    await expectRefusal('tokenizer.json', 'ENOENT');
    write('tokenizer.json', '{}');
    await expectRefusal('tokenizer_config.json', 'ENOENT');
  });

  it('names the file that is damaged', async () => {
    write('tokenizer.json', '{"model": {');
    await expectRefusal('tokenizer.json', "expected a tokenizer's JSON");
  });

  it('refuses JSON that is no tokenizer', async () => {
    write('tokenizer.json', '{}');
    write('tokenizer_config.json', '{}');
    await expectRefusal('tokenizer.json', 'not a tokenizer');
  });
});
