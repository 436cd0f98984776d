import { beforeAll, describe, expect, it } from 'vitest';
import { defaultModelFolder } from '../../../src/config.ts';
import { Attempt, type DecodedTokens } from '../../../src/engine/attempt.ts';
import { RequestMeter } from '../../../src/engine/request-meter.ts';
import { loadTokenizer, type TextTokenizer } from '../../../src/tokenizer/tokenizer.ts';

describe('a token in the place of the last ones of a prompt', () => {
  let tokenizer: TextTokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(defaultModelFolder());
  });

  /** Of a prompt whose last tokens are ` retu`. */
  const attemptAt = (stop: readonly string[] = []): Attempt =>
    new Attempt(tokenizer, tokenizer.encode('{ retu'), stop, new RequestMeter(0));
  const numReplaced = (): number => tokenizer.encode(' retu').length;
  const decided = (text: string): { tokenId: number; isDraft: boolean }[] =>
    tokenizer.encode(text).map((tokenId) => ({ tokenId, isDraft: false }));

  it('gives what it has beyond them, the next ones all they have', () => {
    const attempt = attemptAt();
    const [token, ...more] = decided(' return');
    expect(more).toEqual([]);
    expect(attempt.decodeReplacement(token!, numReplaced(), ' retu', null)).toMatchObject({
      text: 'rn',
      tokens: [{ tokenId: tokenizer.encode(' return')[0], text: 'rn', source: 'target' }],
    });
    expect(attempt.decode(decided(' a;'), 'length')).toMatchObject({
      text: ' a;',
      tokens: [{ text: ' a' }, { text: ';' }],
    });
    expect(attempt.tokenIds).toEqual([...tokenizer.encode(' return'), ...tokenizer.encode(' a;')]);
  });

  it('looks for stop strings in what is new alone', () => {
    const decodeUntil = (stop: string): DecodedTokens =>
      attemptAt([stop]).decodeReplacement(decided(' return')[0]!, numReplaced(), ' retu', null);
    expect(decodeUntil('ret')).toMatchObject({ text: 'rn', isStopped: false });
    expect(decodeUntil('n')).toMatchObject({ text: 'r', isStopped: true });
  });

  it('may end within a character', () => {
    const [first, ...rest] = decided(' 漢');
    expect(rest.length).toBeGreaterThan(0);
    const attempt = new Attempt(tokenizer, tokenizer.encode('a '), [], new RequestMeter(0));
    const replacement = attempt.decodeReplacement(first!, 1, ' ', null);
    expect(replacement.text + attempt.decode(rest, 'length').text).toBe('漢');
  });
});
