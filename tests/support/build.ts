/** Builds once before the tests: the engine's worker thread, the command line and the playground run from `dist`. */
import { execSync } from 'node:child_process';
import { resolve } from 'node:path';

export function setup(): void {
  execSync('npm run --silent build', { cwd: resolve(import.meta.dirname, '../..'), stdio: 'inherit' });
}
