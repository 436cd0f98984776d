/**
 * `foretoken serve` with a scripted engine in place of a model; its round time is in SCRIPTED_ROUND_MS, and it gives up
 * once it is asked to by SIGUSR1.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { serve } from '../../src/cli/serve.ts';
import { ScriptedEngine } from './scripted-engine.ts';

const loadMs = 50;

await serve(process.argv.slice(2), async ({ observer, onGaveUp }) => {
  await sleep(loadMs);
  const engine = new ScriptedEngine({ observer, roundMs: Number(process.env['SCRIPTED_ROUND_MS'] ?? 0) });
  process.once('SIGUSR1', () => {
    engine.state = 'failed';
    onGaveUp?.();
  });
  return engine;
});
