/** When and where a result was measured. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';

export interface MachineFacts {
  readonly date: string;
  readonly machine: string;
  readonly node: string;
}

/** What ONNX Runtime's products of bytes are chosen by on x86-64, the fastest first: names in /proc/cpuinfo. */
const INSTRUCTIONS = [
  ['avx512_vnni', 'AVX-512 VNNI'],
  ['avx_vnni', 'AVX-VNNI'],
  ['avx512bw', 'AVX-512'],
  ['avx2', 'AVX2'],
] as const;

export function machineFacts(): MachineFacts {
  const parts = [cpus()[0]?.model ?? 'unknown CPU', instructions(), `${availableParallelism()} cores`];
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: parts.filter((part) => part !== undefined).join(', '),
    node: process.version,
  };
}

/** Undefined where the system does not tell. */
function instructions(): string | undefined {
  let flags: string;
  try {
    flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
  } catch {
    return undefined;
  }
  return INSTRUCTIONS.find(([flag]) => flags.split(' ').includes(flag))?.[1];
}
