import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readApiKeyFile } from '../../../src/cli/api-key-file.ts';
import { ForetokenError } from '../../../src/errors.ts';
import { ApiKeys } from '../../../src/server/api-keys.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keys-'));
  file = join(folder, 'keys');
});
afterEach(() => rmSync(folder, { recursive: true }));

function refusal(): ForetokenError {
  try {
    readApiKeyFile(file);
  } catch (error) {
    if (error instanceof ForetokenError) return error;
  }
  throw new Error('expected a refusal');
}

test('a key file has a key a line, with or without a name, between comments', () => {
  writeFileSync(file, '# team\nsk-plain\r\n\n  alice : sk-a:b  \n#sk-off\n');
  const keys = new ApiKeys(readApiKeyFile(file));
  expect(keys.nameOf('sk-plain')).toMatch(/^key-/);
  expect(keys.nameOf('sk-a:b')).toBe('alice');
  expect(keys.nameOf('sk-off')).toBeNull();
});

test.each([
  ['', 'expected keys in'],
  ['# nothing\n\n', 'got none'],
  ['sk-good\nsecret words\n', 'line 2: expected KEY or NAME:KEY'],
  [':secret\n', 'line 1'],
  ['name:\n', 'line 1'],
])('%j is refused without a word of it', (content, message) => {
  writeFileSync(file, content);
  const error = refusal();
  expect(error).toMatchObject({ code: 'invalid_setting', param: '--api-key-file' });
  expect(error.message).toContain(message);
  expect(error.message).not.toContain('secret');
});

test('a file that is not there is refused with the reason', () => {
  expect(refusal().message).toBe(`--api-key-file: cannot read ${file}: ENOENT`);
});
