/** When and where a result was measured. */
import { availableParallelism, cpus } from 'node:os';

export interface MachineFacts {
  readonly date: string;
  readonly machine: string;
  readonly node: string;
}

export function machineFacts(): MachineFacts {
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores`,
    node: process.version,
  };
}
