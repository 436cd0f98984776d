/**
 * Prompts that begin alike and are computed at the same time, as those of several choices: before each chunk a sequence
 * takes over what the others have computed meanwhile, so that together they compute their beginning once. Nobody waits
 * for another, so it does not matter which of them goes on, fails or is aborted.
 */
import type { Clock } from '../decoding/decoding-state.ts';
import type { Drafter } from '../decoding/drafter.ts';
import type { KvStore } from './kv-store.ts';
import type { SequenceKv } from './sequence-kv.ts';

export class JointPrefill {
  private readonly store: KvStore;
  private readonly kv: SequenceKv;
  private readonly prompt: readonly number[];
  private readonly drafter: Drafter | null;
  private readonly clock: Clock;
  /** Positions that were not computed for this sequence. */
  numTakenOver: number;
  /** What the drafter took, which would else have come with the first draft. */
  draftSeconds = 0;

  /** `prompt`: the tokens of `kv` that are settled; none where nothing is to be taken over. */
  constructor(
    store: KvStore,
    kv: SequenceKv,
    prompt: readonly number[],
    drafter: Drafter | null,
    clock: Clock,
  ) {
    this.store = store;
    this.kv = kv;
    this.prompt = prompt;
    this.drafter = drafter;
    this.clock = clock;
    this.numTakenOver = kv.target.length;
  }

  async beforeChunk(): Promise<void> {
    const { store, kv } = this;
    const found = store.findAhead(kv, this.prompt, this.drafter !== null);
    if (found === null) return;
    this.numTakenOver += found.numPositions - kv.target.length;
    // What it keeps back is of positions before those.
    await this.flush(0);
    store.takeOver(found, kv);
  }

  /** Others that draft need the module's entries as well. */
  async afterChunk(isLast: boolean): Promise<void> {
    if (this.store.isFollowed(this.kv)) await this.flush(isLast ? 1 : 0);
  }

  private async flush(numKept: number): Promise<void> {
    const start = this.clock.seconds;
    await this.drafter?.flush(numKept);
    this.draftSeconds += this.clock.seconds - start;
  }
}
