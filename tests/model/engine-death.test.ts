import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Engine } from '../../src/engine/generation.ts';
import { startWorkerThread, type WorkerThread } from '../../src/engine/worker-supervisor.ts';
import { collect, requestOf, startRealEngine } from '../support/real-engine.ts';

const PROMPT = 'export function formatDate(date: Date): string {\n';

let engine: Engine;
let workers: WorkerThread[];

beforeEach(async () => {
  workers = [];
  engine = await startRealEngine({
    maxNumSeqs: 2,
    startWorker: (options) => {
      workers.push(startWorkerThread(options));
      return workers.at(-1)!;
    },
  });
});
afterEach(() => engine.close());

it('outlives the death of its thread in mid-stream, and gives the same text afterwards', async () => {
  const ask = (given: Parameters<typeof requestOf>[0]) => engine.generate(requestOf(given));
  const reference = await collect(ask({ prompt: PROMPT, maxTokens: 48 }));
  for (let death = 0; death < 2; death += 1) {
    const begun = ask({ prompt: PROMPT, maxTokens: 1500 });
    const whole = collect(ask({ prompt: PROMPT, maxTokens: 48, isWhole: true }));
    const queued = collect(ask({ prompt: PROMPT, maxTokens: 48 }));
    let numTokens = 0;
    const read = async (): Promise<void> => {
      for await (const event of begun) {
        if (event.type === 'tokens-generated') numTokens += event.tokens.length;
        if (numTokens > 8) workers[death]!.postMessage({ type: 'worker-crash' });
      }
    };
    await expect(read()).rejects.toMatchObject({ code: 'engine_failed' });
    expect(engine.state).toBe('loading');
    for (const answer of await Promise.all([whole, queued]))
      expect(answer.tokenIds).toEqual(reference.tokenIds);
    expect(workers).toHaveLength(death + 2);
    await expect.poll(() => engine.load()).toMatchObject({ numRunning: 0, numWaiting: 0, kvCacheUsage: 0 });
  }
});
