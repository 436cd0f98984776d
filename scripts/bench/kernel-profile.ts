/** What a graph's run consists of: kernels, the executor around them, and the call from Node. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median } from '../../src/decoding/robust-statistics.ts';

/** Medians over runs, in seconds. */
export interface RunProfile {
  /** As the caller sees it, measured without the profiler. */
  readonly wallSeconds: number;
  /** What the call takes by itself, measured without the profiler: tensors in and out, promises. */
  readonly callSeconds: number;
  /** Under the profiler, which slows them down. */
  readonly kernelSeconds: number;
  /** Of the executor between kernels, and of the profiler. */
  readonly executorSeconds: number;
  /** By operator, the costliest first. */
  readonly byOperator: Readonly<Record<string, number>>;
}

interface TraceEvent {
  readonly cat: string;
  readonly name: string;
  /** Microseconds. */
  readonly ts: number;
  readonly dur: number;
  readonly args?: { readonly op_name?: string };
}

export async function withTemporaryFolder<Result>(use: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'foretoken-profile-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** What ONNX Runtime's profiler wrote to files that begin with `prefix` in `folder`, once the session was released. */
export async function readTrace(folder: string, prefix: string): Promise<readonly TraceEvent[]> {
  const file = (await readdir(folder)).find((name) => name.startsWith(prefix));
  if (file === undefined) throw new Error(`${folder}: expected a profile of ONNX Runtime, found none`);
  return JSON.parse(await readFile(join(folder, file), 'utf8')) as TraceEvent[];
}

/** Events of consecutive runs, [number of runs]. */
export function splitRuns(events: readonly TraceEvent[]): TraceEvent[][] {
  const runs = events.filter((event) => event.name === 'model_run').toSorted((a, b) => a.ts - b.ts);
  const kernels = events.filter((event) => event.cat === 'Node' && event.name.endsWith('_kernel_time'));
  return runs.map((run) => [
    run,
    ...kernels.filter((kernel) => kernel.ts >= run.ts && kernel.ts < run.ts + run.dur),
  ]);
}

/** wallSeconds, callSeconds: of runs without the profiler. */
export function runProfile(
  runs: readonly TraceEvent[][],
  wallSeconds: readonly number[],
  callSeconds: readonly number[],
): RunProfile {
  const perOperator = new Map<string, number[]>();
  const kernelSeconds = runs.map(([, ...kernels]) => {
    const sums = new Map<string, number>();
    for (const { args, dur } of kernels) {
      const name = args?.op_name ?? 'unknown';
      sums.set(name, (sums.get(name) ?? 0) + dur / 1e6);
    }
    for (const [name, seconds] of sums) perOperator.set(name, [...(perOperator.get(name) ?? []), seconds]);
    return [...sums.values()].reduce((total, seconds) => total + seconds, 0);
  });
  const medians = [...perOperator].map(([name, seconds]) => [name, median(seconds)] as const);
  return {
    wallSeconds: median(wallSeconds),
    callSeconds: median(callSeconds),
    kernelSeconds: median(kernelSeconds),
    executorSeconds: median(runs.map(([run], index) => run!.dur / 1e6 - kernelSeconds[index]!)),
    byOperator: Object.fromEntries(medians.toSorted((a, b) => b[1] - a[1])),
  };
}
