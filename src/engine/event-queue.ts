/** One event for two that follow each other, or null where they must stay apart. */
export type Join<Event> = (earlier: Event, later: Event) => Event | null;

/** Events pushed by one side and iterated by the other, once. Those that nobody has taken yet are joined. */
export class EventQueue<Event> implements AsyncIterable<Event> {
  private readonly events: Event[] = [];
  private state: 'open' | 'ended' | 'failed' = 'open';
  private error: unknown = null;
  private wake: (() => void) | null = null;
  private readonly onReturn: () => void;
  private readonly join: Join<Event>;

  /** `onReturn` is called when the iteration stops, for whatever reason. */
  constructor(onReturn: () => void, join: Join<Event> = () => null) {
    this.onReturn = onReturn;
    this.join = join;
  }

  push(event: Event): void {
    if (this.state !== 'open') return;
    const last = this.events.at(-1);
    const joined = last === undefined ? null : this.join(last, event);
    if (joined === null) this.events.push(event);
    else this.events[this.events.length - 1] = joined;
    this.wake?.();
  }

  /** Events already pushed are still delivered. */
  end(): void {
    if (this.state === 'open') this.state = 'ended';
    this.wake?.();
  }

  /** Events already pushed are still delivered; then the iteration throws. */
  fail(error: unknown): void {
    if (this.state === 'open') {
      this.state = 'failed';
      this.error = error;
    }
    this.wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Event, void, void> {
    try {
      for (;;) {
        const event = this.events.shift();
        if (event !== undefined) yield event;
        else if (this.state === 'failed') throw this.error;
        else if (this.state === 'ended') return;
        else
          await new Promise<void>((resolve) => {
            this.wake = resolve;
          });
      }
    } finally {
      this.onReturn();
    }
  }
}
