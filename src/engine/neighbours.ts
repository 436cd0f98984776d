/** What the other workers have to do, as the main thread writes it (WorkerPool). */

/** Who comes back at once, as clients do that ask again, would find the machine taken. */
const QUIET_MS = 250;

export class Neighbours {
  private readonly load: Int32Array<SharedArrayBuffer>;
  private readonly index: number;
  private lastSeenMs = -Infinity;

  /** load: [workers], requests that each has; `index` is this worker's. */
  constructor(load: Int32Array<SharedArrayBuffer>, index: number) {
    this.load = load;
    this.index = index;
  }

  /** Whether any has a request, or was seen with one just now. */
  areBusy(nowMs = performance.now()): boolean {
    for (let other = 0; other < this.load.length; other += 1)
      if (other !== this.index && Atomics.load(this.load, other) > 0) this.lastSeenMs = nowMs;
    return nowMs - this.lastSeenMs < QUIET_MS;
  }
}
