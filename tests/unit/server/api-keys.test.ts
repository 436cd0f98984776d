import { describe, expect, test } from 'vitest';
import { ApiKeys, parseApiKey } from '../../../src/server/api-keys.ts';

const key = (text: string, name?: string) => parseApiKey(text, name)!;

describe('ApiKeys', () => {
  test('know their keys by name, and nothing else', () => {
    const keys = new ApiKeys([key('sk-one', 'one'), key('sk-two')]);
    expect(keys.nameOf('sk-one')).toBe('one');
    expect(keys.nameOf('sk-two')).toMatch(/^key-[0-9a-f]{8}$/);
    for (const other of ['', 'sk-on', 'sk-one ', 'SK-ONE', 'one']) expect(keys.nameOf(other)).toBeNull();
  });

  test('are all replaced at once', () => {
    const keys = new ApiKeys([key('sk-one', 'one')]);
    keys.replace([key('sk-two', 'two')]);
    expect([keys.nameOf('sk-one'), keys.nameOf('sk-two')]).toEqual([null, 'two']);
  });

  test('hold no key', () => {
    const held = key('sk-one');
    expect(held.sha256.toString('latin1')).not.toContain('sk-one');
    expect(Object.values(held).map(String).join()).not.toContain('sk-one');
  });
});

test.each(['', 'two words', 'schlüssel', 'x'.repeat(513), 'line\nbreak'])('%j cannot be a key', (text) => {
  expect(parseApiKey(text)).toBeUndefined();
});
