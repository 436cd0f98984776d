/**
 * Fair turns: requests wait in the order they came, at most `maxNumSeqs` run, and each running one takes a turn (a
 * prefill chunk or a round) before any takes a second. Knows nothing of what a turn does, or of what it needs.
 */
import type { Lane } from './lane.ts';
import type { Lockstep } from './lockstep.ts';

/** How the next turn is to be taken: by itself, or beside those of others. */
export type TurnKind = 'alone' | 'together';

/** Each `next` is one turn, the first one alone, and tells of the one after it. */
export type Turns = AsyncGenerator<TurnKind, void, void>;

/** What a request gets when it may run. */
export interface Admission {
  readonly turns: Turns;
  readonly lane: Lane;
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
  /** Of its next turn; null once there is none. */
  next: TurnKind | null;
}

export interface SchedulerEvents {
  started(id: number): void;
  failed(id: number, error: unknown): void;
}

export class Scheduler {
  private readonly maxNumSeqs: number;
  private readonly events: SchedulerEvents;
  private readonly lockstep: Pick<Lockstep, 'takeTogether' | 'takeTurns'>;
  private waiting: Entry[] = [];
  private running: Running[] = [];
  private isClosed = false;
  private wake: (() => void) | null = null;

  constructor(
    maxNumSeqs: number,
    events: SchedulerEvents,
    lockstep: Pick<Lockstep, 'takeTogether' | 'takeTurns'>,
  ) {
    this.maxNumSeqs = maxNumSeqs;
    this.events = events;
    this.lockstep = lockstep;
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
      await this.takeTurns();
      this.running = this.running.filter(({ next }) => next !== null);
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
      this.running = [...this.running, { entry, admission, next: 'alone' }];
      this.events.started(entry.id);
    }
  }

  /** One of each that runs. */
  private async takeTurns(): Promise<void> {
    const turn = (sequence: Running) => ({
      lane: sequence.admission.lane,
      take: async () => this.takeTurn(sequence),
    });
    const together = this.running.filter(({ next }) => next === 'together');
    for (const sequence of this.running.filter(({ next }) => next === 'alone')) {
      if (this.isClosed) return;
      await this.lockstep.takeTogether([turn(sequence)]);
    }
    if (!this.isClosed) await this.lockstep.takeTurns(together.map(turn));
  }

  private async takeTurn(sequence: Running): Promise<void> {
    const { entry, admission } = sequence;
    let hasFailed = false;
    try {
      if (!entry.isAborted) {
        const { done, value } = await admission.turns.next();
        if (done !== true) {
          sequence.next = value;
          return;
        }
      }
      await admission.turns.return();
    } catch (error) {
      hasFailed = true;
      this.events.failed(entry.id, error);
    }
    sequence.next = null;
    admission.release(hasFailed);
  }

  private async sleep(): Promise<void> {
    if (this.waiting.length > 0 || this.isClosed) return;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    this.wake = null;
  }
}
