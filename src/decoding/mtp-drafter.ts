/**
 * Drafts with the MTP module, chained on its own hidden state. Owns the module's KV cache and the verified states
 * that are not in it yet. Knows nothing of acceptance.
 */
import type { KvCache, MtpModule } from '../model/target-model.ts';
import type { Drafter } from './drafter.ts';

/** States of so many of the module's widest forwards are kept back: a text that nobody drafts of costs it nothing. */
const MAX_PENDING_FORWARDS = 4;

export class MtpDrafter implements Drafter {
  private readonly module: MtpModule;
  private readonly cache: KvCache;
  private readonly hiddenSize: number;
  private readonly pendingStates: Float32Array; // [maxPending, hiddenSize]
  private readonly maxPending: number;
  private pendingTokenIds: number[] = [];

  constructor(module: MtpModule, cache: KvCache, hiddenSize: number) {
    this.module = module;
    this.cache = cache;
    this.hiddenSize = hiddenSize;
    this.maxPending = MAX_PENDING_FORWARDS * module.maxWidth;
    this.pendingStates = new Float32Array(this.maxPending * hiddenSize);
  }

  /** Only copies: the module runs when a draft is wanted, or when no more states can be kept back. */
  async observe(tokenIds: readonly number[], hiddenStates: Float32Array): Promise<void> {
    const { hiddenSize } = this;
    for (let index = 0; index < tokenIds.length; index += 1) {
      if (this.pendingTokenIds.length === this.maxPending) await this.catchUp();
      const row = hiddenStates.subarray(index * hiddenSize, (index + 1) * hiddenSize);
      this.pendingStates.set(row, this.pendingTokenIds.length * hiddenSize);
      this.pendingTokenIds.push(tokenIds[index]!);
    }
  }

  /** Invariant: before draft `index` the cache holds all verified tokens and `index - 1` chained drafts. */
  async draft(
    wantsAnother: () => boolean,
    choose: (logits: Float32Array, index: number) => number,
  ): Promise<number[]> {
    const { hiddenSize } = this;
    const drafts: number[] = [];
    let { logits, hiddenStates } = await this.catchUp();
    const verifiedLength = this.cache.length;
    let state = hiddenStates.slice(-hiddenSize);
    drafts.push(choose(logits, 0));
    while (this.cache.length < this.cache.capacity && wantsAnother()) {
      ({ logits, hiddenStates } = await this.module.forward(this.cache, [drafts.at(-1)!], state));
      state = hiddenStates.slice(0, hiddenSize);
      drafts.push(choose(logits, drafts.length));
    }
    this.cache.rewindTo(verifiedLength);
    return drafts;
  }

  async flush(numKept = 0): Promise<void> {
    if (this.pendingTokenIds.length > numKept) await this.catchUp(numKept);
  }

  /** Returns the output of the last forward that this takes. */
  private async catchUp(numKept = 0): ReturnType<MtpModule['forward']> {
    const { module, hiddenSize, pendingStates } = this;
    const pending = this.pendingTokenIds;
    const numDone = pending.length - numKept;
    if (numDone === 0) throw new Error('expected a verified token to draft from, found none');
    this.pendingTokenIds = [];
    for (let start = 0; ; start += module.maxWidth) {
      const tokenIds = pending.slice(start, Math.min(start + module.maxWidth, numDone));
      const end = start + tokenIds.length;
      const states = pendingStates.subarray(start * hiddenSize, end * hiddenSize);
      const output = await module.forward(this.cache, tokenIds, states);
      if (end < numDone) continue;
      pendingStates.copyWithin(0, end * hiddenSize, pending.length * hiddenSize);
      this.pendingTokenIds = pending.slice(end);
      return output;
    }
  }
}
