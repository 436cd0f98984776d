/**
 * `npm run bench:server`: streams over HTTP for 1 to 32 clients at a time, with speculation and without, in turn, from a
 * server of its own. Every prompt is computed from nothing. Keeps the result in docs/results/server.json.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { machineFacts } from './bench/machine-facts.ts';
import { prompts } from './bench/prompts.ts';
import {
  summariseServer,
  type RequestTimes,
  type ServerRecord,
  type ServerRow,
} from './bench/server-record.ts';
import { completeOverHttp } from './load/http-client.ts';
import { ServedProcess } from './load/served-process.ts';

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '1,2,4,8,16,32' },
    /** Of each row. */
    seconds: { type: 'string', default: '20' },
    tokens: { type: 'string', default: '64' },
    'goal-ttft-ms': { type: 'string', default: '1000' },
    'goal-tpot-ms': { type: 'string', default: '20' },
    out: { type: 'string', default: 'docs/results/server.json' },
    'no-out': { type: 'boolean', default: false },
  },
});

const secondsPerRow = Number(values.seconds);
const numTokens = Number(values.tokens);
const goal = { ttftMs: Number(values['goal-ttft-ms']), tpotMs: Number(values['goal-tpot-ms']) };
const server = await ServedProcess.start([]);

async function measure(numClients: number, speculation: ServerRow['speculation']): Promise<ServerRow> {
  const requests: RequestTimes[] = [];
  const start = performance.now();
  const elapsedSeconds = (): number => (performance.now() - start) / 1000;
  const clients = Array.from({ length: numClients }, async (_, client) => {
    for (let index = client; elapsedSeconds() < secondsPerRow; index += numClients) {
      const outcome = await completeOverHttp(server.baseUrl, {
        prompt: prompts[index % prompts.length]!.text,
        max_tokens: numTokens,
        temperature: 0,
        ignore_eos: true,
        cache_prompt: false,
        stream: true,
        speculation,
      });
      if (outcome.kind !== 'completed')
        throw new Error(`a request ended otherwise: ${JSON.stringify(outcome)}`);
      requests.push(outcome);
    }
  });
  await Promise.all(clients);
  return { numClients, speculation, ...summariseServer(requests, elapsedSeconds(), goal) };
}

await measure(1, 'auto');
const rows: ServerRow[] = [];
for (const numClients of values.clients.split(',').map(Number)) {
  for (const speculation of ['off', 'auto'] as const) {
    const row = await measure(numClients, speculation);
    rows.push(row);
    console.log(
      `${numClients} clients, ${speculation}: ${row.tokensPerSecond} tok/s, ${row.goodput} good requests/s`,
    );
  }
}
const { data } = JSON.parse((await server.get('/v1/models')).body) as { data: [{ id: string }] };
await server.stop();

const record: ServerRecord = { ...machineFacts(), model: data[0].id, numTokens, secondsPerRow, goal, rows };
if (!values['no-out']) await writeFile(values.out, `${JSON.stringify(record, null, 2)}\n`);
console.log(JSON.stringify(record));
