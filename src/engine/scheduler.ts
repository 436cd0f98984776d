/**
 * Fair turns: requests wait in the order they came, at most `maxNumSeqs` run, and each running one takes a turn (a
 * prefill chunk or a round) before any takes a second. Knows nothing of what a turn does.
 */

/** Each `next` is one turn; `return` must give everything back. */
export type Turns = AsyncGenerator<void, void, void>;

interface Entry {
  readonly id: number;
  readonly begin: () => Turns;
  isAborted: boolean;
}

export interface SchedulerEvents {
  started(id: number): void;
  failed(id: number, error: unknown): void;
}

export class Scheduler {
  private readonly maxNumSeqs: number;
  private readonly events: SchedulerEvents;
  private waiting: Entry[] = [];
  private running: { readonly entry: Entry; readonly turns: Turns }[] = [];
  private isClosed = false;
  private wake: (() => void) | null = null;

  constructor(maxNumSeqs: number, events: SchedulerEvents) {
    this.maxNumSeqs = maxNumSeqs;
    this.events = events;
  }

  add(id: number, begin: () => Turns): void {
    this.waiting.push({ id, begin, isAborted: false });
    this.wake?.();
  }

  /** Takes effect before the request's next turn. */
  abort(id: number): void {
    this.waiting = this.waiting.filter((entry) => entry.id !== id);
    for (const { entry } of this.running) if (entry.id === id) entry.isAborted = true;
    this.wake?.();
  }

  close(): void {
    this.isClosed = true;
    this.wake?.();
  }

  /** Takes turns until closed; then what runs is given back. */
  async run(): Promise<void> {
    while (!this.isClosed) {
      this.admit();
      if (this.running.length === 0) await this.sleep();
      for (const sequence of this.running) {
        if (!(await this.takeTurn(sequence)))
          this.running = this.running.filter((other) => other !== sequence);
        if (this.isClosed) break;
      }
    }
    for (const { turns } of this.running) await turns.return();
  }

  private admit(): void {
    while (this.running.length < this.maxNumSeqs && this.waiting.length > 0) {
      const entry = this.waiting.shift()!;
      this.running = [...this.running, { entry, turns: entry.begin() }];
      this.events.started(entry.id);
    }
  }

  /** Whether there is another turn to take. */
  private async takeTurn(sequence: { readonly entry: Entry; readonly turns: Turns }): Promise<boolean> {
    const { entry, turns } = sequence;
    try {
      if (entry.isAborted) {
        await turns.return();
        return false;
      }
      return (await turns.next()).done !== true;
    } catch (error) {
      this.events.failed(entry.id, error);
      return false;
    }
  }

  private async sleep(): Promise<void> {
    if (this.waiting.length > 0 || this.isClosed) return;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    this.wake = null;
  }
}
