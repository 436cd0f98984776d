/**
 * `npm run chaos -- --out docs/results/chaos.json`: a server under load while its engine's worker dies, its process is
 * stopped and continued, its queue is full, connections are cut and at last it is told to go. Prints how the requests of
 * each phase ended; none may be lost: every one that was accepted ends with its report, or with an error that says why.
 * The last line is the result as JSON; the exit code is 1 if a check failed.
 */
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { machineFacts } from './bench/machine-facts.ts';
import { countOutcomes, type ClientOutcome } from './load/client-outcome.ts';
import { completeOverHttp } from './load/http-client.ts';
import { MixedLoad, oneRequest } from './load/mixed-load.ts';
import { ServedProcess } from './load/served-process.ts';

const { values } = parseArgs({
  options: {
    /** Of each phase. */
    seconds: { type: 'string', default: '20' },
    clients: { type: 'string', default: '8' },
    out: { type: 'string' },
  },
});

const phaseMs = Number(values.seconds) * 1000;
const numClients = Number(values.clients);
const CRASH_EVERY_MS = 5000;
const STOPPED_MS = 700;
/** More than may run and wait: 8 and 64. */
const NUM_AT_ONCE = 120;

const server = await ServedProcess.start([], { FORETOKEN_CHAOS: 'ipc' });
const { baseUrl } = server;
const phases: Record<string, Record<string, number>> = {};
const all: ClientOutcome[] = [];

function record(name: string, outcomes: readonly ClientOutcome[]): void {
  phases[name] = countOutcomes(outcomes);
  all.push(...outcomes);
  console.log(`${name}: ${JSON.stringify(phases[name])}`);
}

const isReady = async (): Promise<boolean> => (await server.get('/ready')).status === 200;

async function untilReady(): Promise<void> {
  while (!(await isReady())) await sleep(100);
}

/** Load of all kinds while `disturb` is called again and again. A refusal is answered by a pause, as by any client. */
async function phase(name: string, disturb: () => Promise<ClientOutcome | void>): Promise<void> {
  const load = new MixedLoad(numClients, async () => {
    const outcome = await oneRequest(baseUrl);
    if (outcome.kind === 'refused') await sleep(250);
    return outcome;
  });
  const end = performance.now() + phaseMs;
  const outcomes: ClientOutcome[] = [];
  while (performance.now() < end) {
    const outcome = await disturb();
    if (outcome !== undefined) outcomes.push(outcome);
  }
  record(name, [...outcomes, ...(await load.stop())]);
  await untilReady();
}

const restarts = async (): Promise<number> => (await server.metrics()).sum('foretoken_engine_restarts_total');
let numCrashes = 0;
await phase('a worker dies', async () => {
  await untilReady();
  await sleep(CRASH_EVERY_MS * Math.random());
  server.child.send('crash-worker');
  numCrashes += 1;
  while ((await restarts()) < numCrashes) await sleep(20);
});
const numRestarts = await restarts();

await phase('the process is stopped', async () => {
  server.child.kill('SIGSTOP');
  await sleep(STOPPED_MS);
  server.child.kill('SIGCONT');
  await sleep(STOPPED_MS);
});

const crowd = Array.from({ length: NUM_AT_ONCE }, async () =>
  completeOverHttp(baseUrl, { prompt: 'const a = ', max_tokens: 20, stream: true, ignore_eos: true }),
);
record('the queue is full', await Promise.all(crowd));

await phase('connections are cut', async () => {
  const leaveAfter = Math.floor(Math.random() * 3);
  const body = { prompt: 'class A {', max_tokens: 100, stream: true, ignore_eos: true };
  return await completeOverHttp(baseUrl, body, { leaveAfter });
});

while (!(await server.metrics()).isIdle) await sleep(100);
const served = (await server.metrics()).outcomes();
const count = (...kinds: readonly string[]): number => all.filter(({ kind }) => kinds.includes(kind)).length;
const everyRequestEndedOnce =
  // Those that left early may have been accepted or not.
  served.finished + served.abort >= count('completed', 'left') &&
  served.finished + served.abort <= count('completed', 'left', 'left-early') &&
  served.error === count('failed');

let isTold = false;
const load = new MixedLoad(numClients, async () => {
  const isLate = isTold;
  const outcome = await oneRequest(baseUrl);
  if (outcome.kind === 'refused') await sleep(50);
  // A connection that the system took and the server never did, since it was closing.
  if (isLate && outcome.kind === 'lost' && outcome.reason === 'ECONNRESET')
    return { ...outcome, kind: 'refused' };
  return outcome;
});
await sleep(1000);
isTold = true;
const exitCode = await server.stop();
record('SIGTERM', await load.stop());

const checks = {
  nothingLost: count('lost') === 0,
  everyRequestEndedOnce,
  workersRestarted: numCrashes > 0 && numRestarts === numCrashes,
  queueWasFull: (phases['the queue is full']?.['refused: queue_full'] ?? 0) > 0,
  exitedWithZero: exitCode === 0,
};
const result = {
  ...machineFacts(),
  numClients,
  phaseSeconds: Number(values.seconds),
  accepted: count('completed', 'failed', 'left', 'lost'),
  completed: count('completed'),
  failed: countOutcomes(all.filter(({ kind }) => kind === 'failed')),
  leftByClient: count('left', 'left-early'),
  refused: countOutcomes(all.filter(({ kind }) => kind === 'refused')),
  lost: count('lost'),
  numRestarts,
  phases,
  checks,
};
if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(result, null, 2)}\n`);
if (Object.values(checks).includes(false)) process.exitCode = 1;
console.log(JSON.stringify(result));
