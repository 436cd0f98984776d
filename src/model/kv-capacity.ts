/** How long caches are and what a position of them takes. Numbers only: knows nothing of buffers. */
import type { GraphConfig } from './manifest.ts';

const MIN_CAPACITY = 128;
const BYTES_PER_FLOAT = 4;

/**
 * Positions of the cache that a sequence of `numPositions` gets: a power of two, at most `maxCapacity`, so that a
 * buffer fits the next sequence as well.
 */
export function kvCapacity(numPositions: number, maxCapacity: number): number {
  let capacity = MIN_CAPACITY;
  while (capacity < numPositions) capacity *= 2;
  return Math.min(capacity, maxCapacity);
}

/** Every key-value head of every layer has one of its own. */
export function numCachesOf(graph: GraphConfig): number {
  return graph.num_hidden_layers * graph.num_key_value_heads;
}

/** Bytes of one position's keys and values in all layers of a graph. */
export function kvPositionBytes(graph: GraphConfig): number {
  return 2 * numCachesOf(graph) * graph.head_size * BYTES_PER_FLOAT;
}
