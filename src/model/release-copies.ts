/**
 * Frees the arrays in which onnxruntime-node 1.30 returns a run's outputs: copies of what the caller's own tensors hold
 * already. Left to the garbage collector they are megabytes a run, a collection every few runs, and memory that is never
 * in the processor's cache (docs/log.md). Knows nothing of what the tensors are.
 */
import { MessageChannel } from 'node:worker_threads';
import type { Tensor } from 'onnxruntime-node';
import type { Fetches } from './native-session.ts';

/** A port that nobody reads: what is transferred to it is freed at once. */
const drain = ((): { postMessage(value: null, transfer: ArrayBuffer[]): void } => {
  const { port1, port2 } = new MessageChannel();
  port2.close();
  port1.unref();
  return port1;
})();

/** `fetched`: the tensors that the caller gave to be filled; their memory is left alone. */
export function releaseCopies(returned: Readonly<Record<string, Tensor>>, fetched: Readonly<Fetches>): void {
  const copies = new Set<ArrayBuffer>();
  for (const name in returned) {
    const { buffer } = returned[name]!.data as Float32Array;
    if (buffer instanceof ArrayBuffer && buffer !== fetched[name]?.data.buffer) copies.add(buffer);
  }
  drain.postMessage(null, [...copies]);
}
