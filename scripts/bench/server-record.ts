/** What `npm run bench:server` keeps, and the table of the README that is made of it. */
import type { MachineFacts } from './machine-facts.ts';
import { format, percentile, round } from './statistics.ts';

/** One request over HTTP: milliseconds from when it was sent to each event with text, and to its end. */
export interface RequestTimes {
  readonly numTokens: number;
  readonly eventMs: readonly number[];
}

/** What a request must keep to count as good. */
export interface Goal {
  readonly ttftMs: number;
  /** Time per token after the first, on average. */
  readonly tpotMs: number;
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface ServerRow {
  readonly numClients: number;
  readonly speculation: 'auto' | 'off';
  readonly numRequests: number;
  readonly tokensPerSecond: number;
  readonly ttftMs: Percentiles;
  /** Between two events of a stream; an event brings the tokens of a round. */
  readonly itlMs: Percentiles;
  /** Requests a second that kept the goal. */
  readonly goodput: number;
}

export interface ServerRecord extends MachineFacts {
  readonly model: string;
  readonly numTokens: number;
  readonly secondsPerRow: number;
  readonly goal: Goal;
  readonly rows: readonly ServerRow[];
}

const percentiles = (values: readonly number[]): Percentiles => ({
  p50: round(percentile(values, 50)),
  p95: round(percentile(values, 95)),
  p99: round(percentile(values, 99)),
});

function keeps({ numTokens, eventMs }: RequestTimes, goal: Goal): boolean {
  const [first = Infinity] = eventMs;
  const tpotMs = (eventMs.at(-1)! - first) / Math.max(1, numTokens - 1);
  return first <= goal.ttftMs && tpotMs <= goal.tpotMs;
}

/** Of requests that together took `seconds`. */
export function summariseServer(
  requests: readonly RequestTimes[],
  seconds: number,
  goal: Goal,
): Omit<ServerRow, 'numClients' | 'speculation'> {
  const gaps = requests.flatMap(({ eventMs }) => eventMs.slice(1).map((at, index) => at - eventMs[index]!));
  const numTokens = requests.reduce((sum, request) => sum + request.numTokens, 0);
  return {
    numRequests: requests.length,
    tokensPerSecond: round(numTokens / seconds),
    ttftMs: percentiles(requests.map(({ eventMs }) => eventMs[0]!)),
    itlMs: percentiles(gaps),
    goodput: round(requests.filter((request) => keeps(request, goal)).length / seconds),
  };
}

export function serverTable(record: ServerRecord): string {
  const { goal, rows } = record;
  const spread = ({ p50, p95, p99 }: Percentiles): string =>
    `${format(p50, 1)} / ${format(p95, 1)} / ${format(p99, 1)}`;
  return [
    `${record.model}, ${record.numTokens} tokens a request, every client one request after the other for ` +
      `${record.secondsPerRow} s, ${record.machine}, Node ${record.node}, ${record.date}. *good*: first token within ` +
      `${goal.ttftMs} ms and ${goal.tpotMs} ms a token after it, on average.`,
    '',
    '| clients | speculation | tok/s | TTFT ms, p50 / p95 / p99 | ITL ms, p50 / p95 / p99 | good requests/s |',
    '| --: | --- | --: | --: | --: | --: |',
    ...rows.map(
      (row) =>
        `| ${row.numClients} | ${row.speculation} | ${format(row.tokensPerSecond, 0)} | ${spread(row.ttftMs)} | ` +
        `${spread(row.itlMs)} | ${format(row.goodput)} |`,
    ),
  ].join('\n');
}
