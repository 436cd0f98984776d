/** Sends on a WebSocket no faster than its peer reads. Knows nothing of what is sent. */
import type { WebSocket } from 'ws';

/** Beyond this many unsent bytes whoever sends waits, until they have left. */
const maxBufferedBytes = 64 * 1024;

export class SocketSender {
  readonly #socket: WebSocket;
  readonly #stalled: () => void;
  readonly #timeoutMs: number;
  /** Runs while bytes are unsent, anew whenever some have left. */
  #stallTimer: NodeJS.Timeout | null = null;

  /** `stalled` is called when the peer has taken nothing for so long, though there was something. */
  constructor(socket: WebSocket, timeoutMs: number, stalled: () => void) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    this.#stalled = stalled;
    socket.once('close', () => this.#stopTimer());
  }

  get isFull(): boolean {
    return this.#socket.bufferedAmount > maxBufferedBytes;
  }

  /** Resolves at once, or where too much is unsent already, when all of it has left or the socket has closed. */
  async send(event: object): Promise<void> {
    const socket = this.#socket;
    const text = JSON.stringify(event);
    await new Promise<void>((resolve) => {
      socket.send(text, () => {
        if (socket.bufferedAmount === 0) this.#stopTimer();
        this.#stallTimer?.refresh();
        resolve();
      });
      if (socket.bufferedAmount > 0 && socket.readyState === socket.OPEN)
        this.#stallTimer ??= setTimeout(this.#stalled, this.#timeoutMs);
      if (!this.isFull) resolve();
    });
  }

  #stopTimer(): void {
    if (this.#stallTimer !== null) clearTimeout(this.#stallTimer);
    this.#stallTimer = null;
  }
}
