/** WebAssembly text to a TypeScript file, as the build copies no others into dist. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import loadWabt from 'wabt';

const SOURCE = fileURLToPath(new URL('../../src/decoding/logits-scan.wat', import.meta.url));

/** Path of the file that `assembledFile` gives. */
export const ASSEMBLED = fileURLToPath(new URL('../../src/decoding/logits-scan-wasm.ts', import.meta.url));

/** Throws where the source does not assemble, with line and column. */
export async function assembledFile(): Promise<string> {
  const wabt = await loadWabt();
  const module = wabt.parseWat(SOURCE, await readFile(SOURCE, 'utf8'), { simd: true });
  module.validate();
  const lines = Buffer.from(module.toBinary({}).buffer)
    .toString('base64')
    .match(/.{1,100}/g)!;
  module.destroy();
  return [
    '/** Made of logits-scan.wat by `npm run build:wasm`. In base64. */',
    'export const LOGITS_SCAN_WASM = [',
    ...lines.map((line) => `  '${line}',`),
    "].join('');",
    '',
  ].join('\n');
}
