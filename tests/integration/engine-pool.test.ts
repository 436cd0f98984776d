import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { defaultModelFolder } from '../../src/config.ts';
import { startEngine } from '../../src/engine/engine.ts';
import type { Engine } from '../../src/engine/generation.ts';
import type { WorkerOptions } from '../../src/engine/protocol.ts';
import { collect, requestOf } from '../support/real-engine.ts';
import { nextTick, until } from '../support/scripted-worker.ts';
import { ScriptedThread } from '../support/scripted-thread.ts';

let threads: ScriptedThread[];
let options: WorkerOptions[];
let engine: Engine;

async function start(): Promise<void> {
  threads = [];
  options = [];
  engine = await startEngine({
    modelFolder: defaultModelFolder(),
    numThreads: 0,
    maxNumSeqs: 4,
    maxQueue: 20,
    kvCacheMib: 64,
    speculation: 'auto',
    observer: { roundFinished: () => {}, requestFinished: () => {}, workerRestarted: () => {} },
    logger: pino({ level: 'silent' }),
    startWorker: (given) => {
      options.push(given);
      threads.push(new ScriptedThread(2, () => {}, 2));
      return threads.at(-1)!;
    },
  });
}

beforeEach(async () => {
  await start();
  await until(() => engine.load().numWorkers === 2);
});
afterEach(async () => engine.close());

const request = (seed: number, given: object = {}) =>
  requestOf({ prompt: [1, 2, 3, seed], maxTokens: 20, ...given });
/** Ids of the requests that each worker was given. */
const given = (): number[][] =>
  threads.map(({ received }) =>
    received.flatMap((message) => (message.type === 'request-add' ? [message.id] : [])),
  );

test('the others are started with what the first found out, which is ready meanwhile', () => {
  expect(options).toHaveLength(2);
  expect(options[0]).toMatchObject({ threads: null, numWorkers: 0, index: 0, maxNumSeqs: 4, kvCacheMib: 64 });
  expect(options[0]!.measured).toBeUndefined();
  expect(options[1]).toMatchObject({
    threads: { numThreads: 1, numSoloThreads: 2 },
    numWorkers: 2,
    index: 1,
    measured: { bySharing: new Map([[1, expect.objectContaining({ plainSeconds: [0.001] })]]), solo: null },
  });
  expect(engine.state).toBe('ready');
});

test('workers see whether they have the machine to themselves', async () => {
  const loads = (): number[] => Array.from(options[0]!.load.slice(0, 2));
  expect(options[1]!.load).toBe(options[0]!.load);
  expect(loads()).toEqual([0, 0]);
  const answers = [1, 2, 3].map(async (seed) => collect(engine.generate(request(seed))));
  await nextTick();
  expect(loads()).toEqual([2, 1]);
  threads[0]!.die(new Error('out of memory'));
  await Promise.allSettled(answers);
  expect(loads()).toEqual([1, 0]); // one that loads has much to do
  await until(() => engine.load().numWorkers === 2);
  expect(loads()).toEqual([0, 0]);
});

test('requests are spread, and wait in order until there is a place', async () => {
  const answers = [1, 2, 3, 4, 5, 6].map(async (seed) => collect(engine.generate(request(seed))));
  await nextTick();
  expect(given()).toEqual([
    [1, 3],
    [2, 4],
  ]);
  expect(engine.load()).toMatchObject({ numRunning: 4, numWaiting: 2 });
  expect(engine.load().kvCacheUsage).toBeGreaterThan(0);
  const alone = await Promise.all(answers);
  expect(
    given()
      .flat()
      .toSorted((one, other) => one - other),
  ).toEqual([1, 2, 3, 4, 5, 6]);
  for (const [index, { tokenIds }] of alone.entries())
    expect((await collect(engine.generate(request(index + 1)))).tokenIds).toEqual(tokenIds);
  await until(() => engine.load().kvCacheUsage === 0);
});

test('a prompt goes to the worker that knows its beginning', async () => {
  const long = Array.from({ length: 60 }, (_, index) => index % 20);
  await collect(engine.generate(requestOf({ prompt: [7, ...long], maxTokens: 4 })));
  const other = collect(engine.generate(requestOf({ prompt: [8, ...long], maxTokens: 4 })));
  await other;
  const [first, second] = given();
  await collect(engine.generate(requestOf({ prompt: [8, ...long, 5], maxTokens: 4 })));
  const again = await collect(engine.generate(requestOf({ prompt: [7, ...long, 5], maxTokens: 4 })));
  const grown = given();
  const places = (id: number): number => grown.findIndex((ids) => ids.includes(id));
  expect([places(3), places(4)]).toEqual([places(2), places(1)]);
  expect(first!.length + second!.length).toBe(2);
  expect(again.report.numCachedTokens).toBe(60);
});

test('knowing a prompt is no reason to stand in line for long', async () => {
  const prompt = Array.from({ length: 60 }, (_, index) => index % 20);
  const answers = [1, 2, 3, 4].map(async (seed) =>
    collect(engine.generate(requestOf({ prompt: [...prompt, seed], maxTokens: 40 }))),
  );
  await Promise.all(answers);
  expect(given().map(({ length }) => length)).toEqual([2, 2]);
  const aside = collect(
    engine.generate(requestOf({ prompt: [...prompt, 1, 2], maxTokens: 2, cachePrompt: false })),
  );
  expect((await aside).report.numCachedTokens).toBe(0);
});

test('a worker that dies while it loads, after another was ready, is started again', async () => {
  const answer = async (): Promise<unknown> => collect(engine.generate(request(1)));
  await engine.close();
  await start();
  expect(engine.load().numWorkers).toBe(1);
  threads[1]!.die(new Error('out of memory'));
  await answer();
  expect(options.map(({ index }) => index)).toEqual([0, 1]);
  await until(() => engine.load().numWorkers === 2);
  expect(options.map(({ index }) => index)).toEqual([0, 1, 1]);
  await answer();
});

test('where one worker dies the other goes on, and takes over what had given nothing yet', async () => {
  const whole = [1, 2, 3, 4, 5].map(async (seed) =>
    collect(engine.generate(request(seed, { isWhole: true }))),
  );
  await nextTick();
  threads[0]!.die();
  expect(engine.state).toBe('ready');
  await Promise.all(whole);
  expect(given()[1]!.toSorted((one, other) => one - other)).toEqual([1, 2, 3, 4, 5]);
});
