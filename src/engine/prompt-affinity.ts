/** Which worker has computed the beginning of a prompt: it need not compute that again. Knows nothing of their KV. */
import { commonPrefixLength } from './sequence-kv.ts';

/** Prompts remembered per worker, the latest ones; about as many as a prefix cache of the default size keeps. */
const MAX_REMEMBERED = 32;
/** Fewer tokens in common are computed anew sooner than they are worth a place in a longer line. */
const MIN_COMMON_TOKENS = 32;

export class PromptAffinity {
  private prompts: (readonly number[])[] = []; // latest last

  remember(promptTokenIds: readonly number[]): void {
    this.prompts.push(promptTokenIds);
    if (this.prompts.length > MAX_REMEMBERED) this.prompts.shift();
  }

  /** The worker is a new one, and has nothing. */
  forget(): void {
    this.prompts = [];
  }

  /** Tokens that a remembered prompt begins with as this one does; 0 where they are too few to matter. */
  commonTokens(promptTokenIds: readonly number[]): number {
    let most = 0;
    for (const prompt of this.prompts) most = Math.max(most, commonPrefixLength(prompt, promptTokenIds));
    return most >= MIN_COMMON_TOKENS ? most : 0;
  }
}
