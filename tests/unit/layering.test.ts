import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const SOURCE = resolve(import.meta.dirname, '../../src');

/** What each folder may import from, beside itself and src/errors.ts. Imports point only down. */
const MAY_IMPORT: Readonly<Record<string, { folders: readonly string[]; packages: readonly RegExp[] }>> = {
  tokenizer: { folders: [], packages: [/^@huggingface\/tokenizers$/, /^node:/] },
  metrics: { folders: [], packages: [/^prom-client$/, /^node:/] },
  model: { folders: [], packages: [/^koffi$/, /^pbf$/, /^typebox(\/|$)/, /^node:/] },
  decoding: { folders: ['model/target-model.ts'], packages: [] },
  engine: { folders: ['decoding', 'metrics', 'model', 'tokenizer'], packages: [/^pino$/, /^node:/] },
  server: { folders: ['engine', 'metrics', 'decoding/sampling-params.ts'], packages: [/./] },
  playground: { folders: [], packages: [] },
  cli: { folders: ['engine', 'metrics', 'server', 'config.ts', 'version.ts'], packages: [/./] },
};

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/\bfrom '([^']+)'|^import '([^']+)'/gm)].map((match) => (match[1] ?? match[2])!);
}

describe.each(Object.entries(MAY_IMPORT))('src/%s', (folder, allowed) => {
  it('imports only what lies below it', () => {
    const offences: string[] = [];
    for (const file of sourceFiles(join(SOURCE, folder))) {
      for (const specifier of importsOf(file)) {
        const inside = specifier.startsWith('.')
          ? relative(SOURCE, resolve(dirname(file), specifier)).replaceAll('\\', '/')
          : null;
        const isAllowed =
          inside === null
            ? allowed.packages.some((pattern) => pattern.test(specifier))
            : inside === 'errors.ts' ||
              [folder, ...allowed.folders].some((each) => inside === each || inside.startsWith(`${each}/`));
        if (!isAllowed) offences.push(`${relative(SOURCE, file)} imports ${specifier}`);
      }
    }
    expect(offences).toEqual([]);
  });
});

it('decoding knows neither ONNX Runtime nor Fastify', () => {
  const text = sourceFiles(join(SOURCE, 'decoding'))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  expect(text).not.toMatch(/from '(onnxruntime|fastify|@fastify)/);
});
