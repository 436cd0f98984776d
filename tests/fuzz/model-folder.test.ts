import fc from 'fast-check';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { defaultModelFolder } from '../../src/config.ts';
import { ForetokenError } from '../../src/errors.ts';
import { readManifest } from '../../src/model/manifest.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { runs } from '../support/fuzz.ts';

const source = defaultModelFolder();
const names = ['genai_config.json', 'foretoken.json', 'tokenizer.json', 'tokenizer_config.json'] as const;
let folder: string;
const originals = new Map<string, Buffer>();

beforeAll(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'fuzz-')), 'model');
  mkdirSync(folder);
  for (const name of names) {
    cpSync(join(source, name), join(folder, name));
    originals.set(name, readFileSync(join(folder, name)));
  }
  // Hashes would find every change before it is met anywhere else.
  const { sha256: _, ...extras } = JSON.parse(String(originals.get('foretoken.json'))) as Record<
    string,
    unknown
  >;
  originals.set('foretoken.json', Buffer.from(JSON.stringify(extras)));
  writeFileSync(join(folder, 'foretoken.json'), originals.get('foretoken.json')!);
});
afterAll(() => rmSync(join(folder, '..'), { recursive: true }));

/** Bytes that keep JSON what it is are as likely as others. */
const changes = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    byte: fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(...Buffer.from('0123456789"{}[],:eE-.nt'))),
    kind: fc.constantFrom('replace', 'insert', 'cut'),
  }),
  { minLength: 1, maxLength: 4 },
);

function damage(
  original: Buffer,
  [{ at, byte, kind } = { at: 0, byte: 0, kind: 'cut' }, ...rest]: readonly {
    at: number;
    byte: number;
    kind: string;
  }[],
): Buffer {
  const position = Math.floor(at * original.length);
  const after =
    kind === 'cut' ? Buffer.alloc(0) : original.subarray(kind === 'insert' ? position : position + 1);
  const damaged = Buffer.concat([original.subarray(0, position), Buffer.from([byte]), after]);
  return rest.length === 0 || damaged.length === 0 ? damaged : damage(damaged, rest);
}

/** With a text through the tokenizer and back. */
async function load(): Promise<void> {
  await readManifest(folder);
  const tokenizer = await loadTokenizer(folder);
  tokenizer.decode(tokenizer.encode('let x = "漢字";\n'));
}

/** Null for a refusal that names the folder. */
function fault(error: unknown): unknown {
  const isRefusal = error instanceof ForetokenError && error.code === 'invalid_model';
  return isRefusal && error.message.includes(folder) ? null : error;
}

test.each([
  ['genai_config.json', 0.035],
  ['foretoken.json', 0.03],
  ['tokenizer.json', 0.02],
  ['tokenizer_config.json', 0.015],
] as const)('a damaged %s is refused in words, or is of use', async (name, share) => {
  await fc.assert(
    fc.asyncProperty(changes, async (given) => {
      writeFileSync(join(folder, name), damage(originals.get(name)!, given));
      expect(await load().then(() => null, fault)).toBeNull();
    }),
    runs(share),
  );
  writeFileSync(join(folder, name), originals.get(name)!);
});
