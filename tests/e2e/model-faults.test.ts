import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defaultModelFolder } from '../../src/config.ts';
import { ServerProcess } from '../support/server-process.ts';

const source = defaultModelFolder();
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'model-'));
  for (const name of readdirSync(source)) symlinkSync(join(source, name), join(folder, name));
});
afterEach(() => {
  chmodSync(folder, 0o755);
  rmSync(folder, { recursive: true });
});

const path = (name: string): string => join(folder, name);
const write = (name: string, content: string): void => {
  rmSync(path(name));
  writeFileSync(path(name), content);
};
/** A file of its own, to be damaged. */
const copy = (name: string): string => {
  rmSync(path(name));
  copyFileSync(join(source, name), path(name));
  return path(name);
};
const edit = (name: string, change: (config: Record<string, unknown>) => void): void => {
  const config = JSON.parse(readFileSync(join(source, name), 'utf8')) as Record<string, unknown>;
  change(config);
  write(name, JSON.stringify(config));
};
const withoutHashes = (): void => edit('foretoken.json', (config) => delete config['sha256']);
const editModel = (change: (model: Record<string, object>) => void): void => {
  withoutHashes();
  edit('genai_config.json', ({ model }) => change(model as Record<string, object>));
};
const isRoot = process.getuid?.() === 0;

async function expectRefusal(pattern: RegExp): Promise<void> {
  const server = new ServerProcess('src/main.ts', ['serve', '--port', '0', '--model', folder]);
  try {
    expect(await server.exitCode).toBe(1);
    expect(server.stderr).toMatch(/^foretoken: [^\n]+\n$/);
    expect(server.stderr).toMatch(pattern);
    expect(server.log.map(({ msg }) => msg)).not.toContain('ready');
  } finally {
    server.child.kill('SIGKILL');
  }
}

describe('a model folder', () => {
  test.each<[string, () => void, RegExp]>([
    [
      'with a truncated file that has a hash',
      () => truncateSync(copy('mtp.onnx'), 5000),
      /mtp\.onnx: expected sha256 [0-9a-f]{64}, found [0-9a-f]{64}/,
    ],
    [
      'with a graph that is not ONNX',
      () => {
        withoutHashes();
        write('model.onnx', 'not a graph');
      },
      /model\.onnx: ONNX Runtime cannot load it/,
    ],
    [
      'with a truncated graph',
      () => {
        withoutHashes();
        truncateSync(copy('model.onnx'), 40_000);
      },
      /model\.onnx: ONNX Runtime cannot load it/,
    ],
    [
      'with an empty MTP graph',
      () => {
        withoutHashes();
        write('mtp.onnx', '');
      },
      /mtp\.onnx: /,
    ],
    [
      'with truncated weights',
      () => {
        withoutHashes();
        truncateSync(copy('model.onnx.data'), 1_000_000);
      },
      /model\.onnx: ONNX Runtime cannot load it: .*file_length: 1000000 are out of bounds/,
    ],
    [
      'without weights',
      () => {
        withoutHashes();
        rmSync(path('model.onnx.data'));
      },
      /model\.onnx: ONNX Runtime cannot load it: .*model\.onnx\.data/,
    ],
    [
      'with other shapes than it says',
      () => editModel((model) => Object.assign(model['decoder']!, { head_size: 32 })),
      /model\.onnx: expected input 'past_key_values\.0\.key' to be float32 \[1, \?, 32\], found float32/,
    ],
    [
      'with more layers than it has',
      () => editModel((model) => Object.assign(model['decoder']!, { num_hidden_layers: 99 })),
      /model\.onnx: expected input 'past_key_values\.\d+\.key'.*, the graph has: input_ids/,
    ],
    [
      'with another vocabulary than it says',
      () => editModel((model) => Object.assign(model, { vocab_size: 50_000 })),
      /model\.onnx: expected output 'logits' to be float32 \[\?, \?, 50000\]/,
    ],
    [
      'with an absurd context window',
      () => editModel((model) => Object.assign(model, { context_length: 1e15 })),
      /genai_config\.json: \/model\/context_length must be <= /,
    ],
    [
      'without a tokenizer',
      () => rmSync(path('tokenizer.json')),
      /tokenizer\.json: expected a tokenizer's JSON: ENOENT/,
    ],
    [
      'with a truncated tokenizer',
      () => truncateSync(copy('tokenizer.json'), 100_000),
      /tokenizer\.json: expected a tokenizer's JSON/,
    ],
    [
      'with a tokenizer that is none',
      () => write('tokenizer.json', '{"model":{"type":"BPE"}}'),
      /tokenizer\.json: not a tokenizer/,
    ],
    [
      'with an unreadable file',
      () => {
        rmSync(path('foretoken.json'));
        mkdirSync(path('foretoken.json'));
      },
      /foretoken\.json, could not read it: EISDIR/,
    ],
  ])('%s is refused in one line, with exit code 1', async (_name, damage, pattern) => {
    damage();
    await expectRefusal(pattern);
  });

  test.skipIf(isRoot)('that may not be read is refused in one line, with exit code 1', async () => {
    chmodSync(folder, 0o000);
    await expectRefusal(/EACCES/);
  });

  test('that is a file is refused in one line, with exit code 1', async () => {
    const file = path('README.md');
    const server = new ServerProcess('src/main.ts', ['serve', '--port', '0', '--model', file]);
    expect(await server.exitCode).toBe(1);
    expect(server.stderr).toMatch(/^foretoken: [^\n]*ENOTDIR[^\n]*\n$/);
  });
});
