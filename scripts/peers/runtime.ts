/** What every runtime does for the comparison, and the clock that all are measured with. */
import type { Contestant } from './contestant.ts';

export interface Decoding {
  /** Null where only the time is known. */
  readonly tokenIds: readonly number[] | null;
  /** Of the tokens after the first, as they reach the caller. */
  readonly tokensPerSecond: number;
}

export interface Runtime {
  /** Exactly `numTokens` tokens, greedily. */
  decode(promptIds: readonly number[], numTokens: number): Promise<Decoding>;
}

export type OpenRuntime = (contestant: Contestant) => Promise<Runtime>;

/** From the first tokens that reach the caller to the last; what came first is prefill's and not counted. */
export class DecodingClock {
  readonly #tokenIds: number[] = [];
  #numFirst = 0;
  #firstAt = 0;
  #lastAt = 0;

  get numTokens(): number {
    return this.#tokenIds.length;
  }

  push(...tokenIds: readonly number[]): void {
    this.#lastAt = performance.now();
    if (this.#tokenIds.length === 0) {
      this.#numFirst = tokenIds.length;
      this.#firstAt = this.#lastAt;
    }
    this.#tokenIds.push(...tokenIds);
  }

  decoding(numTokens: number): Decoding {
    if (this.numTokens !== numTokens) throw new Error(`expected ${numTokens} tokens, got ${this.numTokens}`);
    const seconds = (this.#lastAt - this.#firstAt) / 1000;
    return { tokenIds: this.#tokenIds, tokensPerSecond: (numTokens - this.#numFirst) / seconds };
  }
}
