/** Events pushed by one side and iterated by the other, once. */
export class EventQueue<Event> implements AsyncIterable<Event> {
  private readonly events: Event[] = [];
  private state: 'open' | 'ended' | 'failed' = 'open';
  private error: unknown = null;
  private wake: (() => void) | null = null;
  private readonly onReturn: () => void;

  /** `onReturn` is called when the iteration stops, for whatever reason. */
  constructor(onReturn: () => void) {
    this.onReturn = onReturn;
  }

  push(event: Event): void {
    if (this.state !== 'open') return;
    this.events.push(event);
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
