/**
 * A contestant in a process of its own, which stands still (SIGSTOP) unless it is asked: no thread of a runtime that
 * waits its turn takes time from another.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { nameOf, type Contestant } from './contestant.ts';
import type { Decoding } from './runtime.ts';

export interface ToContestant {
  readonly promptIds: readonly number[];
  readonly numTokens: number;
}

export type FromContestant =
  | { readonly type: 'opened' }
  | ({ readonly type: 'decoded' } & Decoding)
  | { readonly type: 'failed'; readonly reason: string };

const CAN_SUSPEND = process.platform !== 'win32';
/** Characters of its error output that are shown if it fails. */
const SHOWN_ERRORS = 4000;

export class ContestantProcess {
  readonly contestant: Contestant;
  readonly #process: ChildProcess;
  #errors = '';

  constructor(contestant: Contestant) {
    this.contestant = contestant;
    // Runtimes write to both outputs as they load.
    this.#process = fork(join(import.meta.dirname, 'contestant-main.ts'), [JSON.stringify(contestant)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-SHOWN_ERRORS);
    });
  }

  /** Opened and at a standstill. */
  async open(): Promise<void> {
    await this.#reply('opened');
    this.#suspend();
  }

  async decode(promptIds: readonly number[], numTokens: number): Promise<Decoding> {
    if (CAN_SUSPEND) this.#process.kill('SIGCONT');
    const message: ToContestant = { promptIds, numTokens };
    this.#process.send(message);
    const { tokenIds, tokensPerSecond } = await this.#reply('decoded');
    this.#suspend();
    return { tokenIds, tokensPerSecond };
  }

  /** Also of a process at a standstill, at once. */
  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #suspend(): void {
    if (CAN_SUSPEND) this.#process.kill('SIGSTOP');
  }

  async #reply<Type extends FromContestant['type']>(
    type: Type,
  ): Promise<Extract<FromContestant, { type: Type }>> {
    const listening = new AbortController();
    const { signal } = listening;
    try {
      const message = await Promise.race([
        once(this.#process, 'message', { signal }).then(([received]) => received as FromContestant),
        once(this.#process, 'exit', { signal }).then(([code]): FromContestant => ({
          type: 'failed',
          reason: `exit code ${String(code)}`,
        })),
      ]);
      if (message.type === type) return message as Extract<FromContestant, { type: Type }>;
      const reason = message.type === 'failed' ? message.reason : `unexpected message '${message.type}'`;
      throw new Error(`${nameOf(this.contestant)}: ${reason}\n${this.#errors}`);
    } finally {
      listening.abort();
    }
  }
}
