import { beforeAll, describe, expect, it } from 'vitest';
import { defaultModelFolder } from '../../../src/config.ts';
import { Attempt } from '../../../src/engine/attempt.ts';
import { RequestMeter } from '../../../src/engine/request-meter.ts';
import { loadTokenizer, type TextTokenizer } from '../../../src/tokenizer/tokenizer.ts';

describe('a token in the place of the last ones of a prompt', () => {
  let tokenizer: TextTokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(defaultModelFolder());
  });

  const attemptAfter = (replaced: string, stop: readonly string[] = []): Attempt => {
    const attempt = new Attempt(tokenizer, tokenizer.encode('{ retu'), stop, new RequestMeter(0));
    attempt.replacing(replaced);
    return attempt;
  };
  const decided = (text: string): { tokenId: number; isDraft: boolean }[] =>
    tokenizer.encode(text).map((tokenId) => ({ tokenId, isDraft: false }));

  it('gives what it has beyond them, the next ones all they have', () => {
    const attempt = attemptAfter(' retu');
    expect(decided(' return')).toHaveLength(1);
    expect(attempt.decode(decided(' return'), null)).toMatchObject({
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
    expect(attemptAfter(' retu', ['ret']).decode(decided(' return'), null)).toMatchObject({
      text: 'rn',
      isStopped: false,
    });
    expect(attemptAfter(' retu', ['n']).decode(decided(' return'), null)).toMatchObject({
      text: 'r',
      isStopped: true,
    });
  });
});
