/**
 * `npm run soak -- --minutes 20 --out docs/results/soak.json`: a server under mixed load for a long time. Every accepted
 * request must end exactly once, as its client and the server's counters agree; memory must stay flat after the first
 * fifth of the time, which is warm-up; and afterwards nothing may be running, reserved or open that was not before. The
 * last line is the result as JSON; the exit code is 1 if a check failed.
 */
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { robustLine } from '../src/decoding/robust-statistics.ts';
import { machineFacts } from './bench/machine-facts.ts';
import { round } from './bench/statistics.ts';
import { countOutcomes } from './load/client-outcome.ts';
import { MixedLoad, oneRequest } from './load/mixed-load.ts';
import { ServedProcess } from './load/served-process.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    clients: { type: 'string', default: '8' },
    'max-slope': { type: 'string', default: '1' },
    out: { type: 'string' },
  },
});

const SAMPLE_MS = 5000;
const WARM_UP_SHARE = 0.2;
/** A shorter run is all warm-up: its slope is printed, not judged. */
const MIN_JUDGED_MINUTES = 10;
const IDLE_WAIT_MS = 15_000;

const minutes = Number(values.minutes);
const server = await ServedProcess.start(['--log-level', 'info']);

interface Handles {
  readonly files: number;
  readonly active: number;
}

async function handles(): Promise<Handles> {
  const metrics = await server.metrics();
  return { files: metrics.sum('process_open_fds'), active: metrics.sum('nodejs_active_handles_total') };
}

/** Asks until the answer is as wanted, or for too long. */
async function settled<Value>(
  ask: () => Promise<Value>,
  isWanted: (value: Value) => boolean,
): Promise<Value> {
  const deadline = performance.now() + IDLE_WAIT_MS;
  for (;;) {
    const value = await ask();
    if (isWanted(value) || performance.now() > deadline) return value;
    await sleep(200);
  }
}

// What is opened once and kept is opened now.
await oneRequest(server.baseUrl);
await sleep(1000);
const before = await handles();
const outcomesBefore = (
  await settled(
    async () => server.metrics(),
    ({ isIdle }) => isIdle,
  )
).outcomes();

const start = performance.now();
const load = new MixedLoad(Number(values.clients), async () => oneRequest(server.baseUrl));
const atMinutes: number[] = [];
const residentMib: number[] = [];
while (performance.now() - start < minutes * 60_000) {
  await sleep(Math.min(SAMPLE_MS, minutes * 60_000 - (performance.now() - start)));
  atMinutes.push((performance.now() - start) / 60_000);
  residentMib.push(await server.residentMib());
  if (atMinutes.length % 12 === 0)
    console.log(
      `${round(atMinutes.at(-1)!)} min, ${load.outcomes.length} requests, ${round(residentMib.at(-1)!)} MiB`,
    );
}
const outcomes = await load.stop();

const metrics = await settled(
  async () => server.metrics(),
  ({ isIdle }) => isIdle,
);
const after = await settled(handles, ({ files, active }) => files <= before.files && active <= before.active);
const exitCode = await server.stop();

const firstJudged = atMinutes.findIndex((at) => at >= minutes * WARM_UP_SHARE);
const slope = robustLine(atMinutes.slice(firstJudged), residentMib.slice(firstJudged)).slope;
const served = metrics.outcomes();
const numServed = (name: keyof typeof served): number => served[name] - outcomesBefore[name];
const numClients = (...kinds: readonly string[]): number =>
  outcomes.filter(({ kind }) => kinds.includes(kind)).length;
const checks = {
  // Who leaves may have left after the end: the server then counts a finished request.
  everyRequestEndedOnce:
    numClients('completed', 'left') === numServed('finished') + numServed('abort') &&
    numClients('completed') <= numServed('finished') &&
    numClients('failed') === numServed('error'),
  nothingLost: numClients('lost') === 0,
  nothingFailed: numClients('failed', 'refused') === 0,
  idleAtTheEnd: metrics.isIdle,
  noHandleLeak: after.files <= before.files && after.active <= before.active,
  memoryFlat: minutes < MIN_JUDGED_MINUTES || slope <= Number(values['max-slope']),
  exitedWithZero: exitCode === 0,
};
const record = {
  ...machineFacts(),
  minutes,
  numClients: Number(values.clients),
  numRequests: outcomes.length,
  outcomes: countOutcomes(outcomes),
  served: { finished: numServed('finished'), abort: numServed('abort'), error: numServed('error') },
  residentMib: {
    first: round(residentMib[firstJudged]!),
    last: round(residentMib.at(-1)!),
    max: round(Math.max(...residentMib)),
    slopePerMinute: round(slope),
  },
  handles: { before, after },
  checks,
};
if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(record, null, 2)}\n`);
if (Object.values(checks).includes(false)) process.exitCode = 1;
console.log(JSON.stringify(record));
