/** `npm run build:wasm`: assembles src/decoding/logits-scan.wat into the file that the server loads it from. */
import { writeFile } from 'node:fs/promises';
import { assembledFile, ASSEMBLED } from './wasm/assemble.ts';

await writeFile(ASSEMBLED, await assembledFile());
