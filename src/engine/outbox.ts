/**
 * Messages leave together. Each costs the other thread time, and waking it costs this one: forwards between messages are
 * up to a tenth slower (docs/log.md). So tokens wait for those that follow, and nothing else waits longer than until the
 * thread is idle or its next pass begins.
 */

/** Soon enough for any reader, and several rounds of a fast model. */
export const HOLD_MS = 10;
/** While steps are timed, which no message shall meet; seldom. */
export const LONG_HOLD_MS = 40;

export class Outbox<Message> {
  private readonly send: (messages: Message[]) => void;
  private waiting: Message[] = [];
  private lastSentAt = -Infinity; // ms
  private isUrgent = false;
  private timer: NodeJS.Timeout | null = null;

  constructor(send: (messages: Message[]) => void) {
    this.send = send;
  }

  /** May wait until `holdMs` have passed since something was sent. Never overtakes what was added before. */
  add(message: Message, holdMs = 0): void {
    this.waiting.push(message);
    const waitMs = holdMs > 0 ? this.lastSentAt + holdMs - performance.now() : 0;
    if (waitMs > 0) {
      this.timer ??= setTimeout(() => this.flush(), waitMs);
    } else if (!this.isUrgent) {
      this.isUrgent = true;
      // The target's forwards wait for such a turn too (model/message-turn.ts), so for this one.
      setImmediate(() => this.flush());
    }
  }

  flush(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.isUrgent = false;
    if (this.waiting.length === 0) return;
    const messages = this.waiting;
    this.waiting = [];
    this.lastSentAt = performance.now();
    this.send(messages);
  }
}
