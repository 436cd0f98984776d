/**
 * Fair turns: requests wait in the order they came, at most `maxNumSeqs` run, and each running one takes a turn (a
 * prefill chunk or a round) before any takes a second. Knows nothing of what a turn does, or of what it needs.
 */

/** Each `next` is one turn. */
export type Turns = AsyncGenerator<void, void, void>;

/** What a request gets when it may run. */
export interface Admission {
  readonly turns: Turns;
  /** Gives everything back; called once, after the last turn. `hasFailed`: a turn threw. */
  readonly release: (hasFailed: boolean) => void;
}

/** Null: there is no room yet. It is asked again; whoever came later waits too, so that nobody is overtaken for ever. */
export type Admit = () => Admission | null;

interface Entry {
  readonly id: number;
  readonly admit: Admit;
  isAborted: boolean;
}

interface Running {
  readonly entry: Entry;
  readonly admission: Admission;
}

export interface SchedulerEvents {
  started(id: number): void;
  failed(id: number, error: unknown): void;
}

export class Scheduler {
  private readonly maxNumSeqs: number;
  private readonly events: SchedulerEvents;
  private waiting: Entry[] = [];
  private running: Running[] = [];
  private isClosed = false;
  private wake: (() => void) | null = null;

  constructor(maxNumSeqs: number, events: SchedulerEvents) {
    this.maxNumSeqs = maxNumSeqs;
    this.events = events;
  }

  add(id: number, admit: Admit): void {
    this.waiting.push({ id, admit, isAborted: false });
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
    for (const { admission } of this.running) {
      await admission.turns.return();
      admission.release(false);
    }
  }

  private admit(): void {
    while (this.running.length < this.maxNumSeqs && this.waiting.length > 0) {
      const entry = this.waiting[0]!;
      const admission = entry.admit();
      if (admission === null && this.running.length > 0) return;
      this.waiting.shift();
      if (admission === null) {
        this.events.failed(entry.id, new Error('expected room for a request that runs alone'));
        continue;
      }
      this.running = [...this.running, { entry, admission }];
      this.events.started(entry.id);
    }
  }

  /** Whether there is another turn to take. */
  private async takeTurn({ entry, admission }: Running): Promise<boolean> {
    let hasFailed = false;
    try {
      if (!entry.isAborted && (await admission.turns.next()).done !== true) return true;
      await admission.turns.return();
    } catch (error) {
      hasFailed = true;
      this.events.failed(entry.id, error);
    }
    admission.release(hasFailed);
    return false;
  }

  private async sleep(): Promise<void> {
    if (this.waiting.length > 0 || this.isClosed) return;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    this.wake = null;
  }
}
