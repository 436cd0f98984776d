/**
 * Messages leave together: those of sequences that shared a pass come one right after the other, and waking the other
 * thread costs more than one of them. None waits longer than until the thread is idle or its next pass begins.
 */
export class Outbox<Message> {
  private readonly send: (messages: Message[]) => void;
  private waiting: Message[] = [];

  constructor(send: (messages: Message[]) => void) {
    this.send = send;
  }

  add(message: Message): void {
    // onnxruntime-node puts each run behind setImmediate too, so behind this one.
    if (this.waiting.length === 0) setImmediate(() => this.flush());
    this.waiting.push(message);
  }

  flush(): void {
    if (this.waiting.length === 0) return;
    const messages = this.waiting;
    this.waiting = [];
    this.send(messages);
  }
}
