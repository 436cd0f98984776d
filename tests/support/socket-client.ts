import type { WebSocket } from 'ws';

export interface ServerEvent {
  readonly type: string;
  readonly sequence_number: number;
  readonly response?: {
    readonly id: string;
    readonly status: string;
    readonly output: readonly { readonly content: readonly { readonly text: string }[] }[];
    readonly usage: Record<string, unknown> | null;
    readonly metadata?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly response_id?: string;
  readonly delta?: string;
  readonly num_tokens?: number;
  readonly [field: string]: unknown;
}

const terminal = new Set(['response.completed', 'response.incomplete', 'response.failed', 'error']);

/** Every event that a socket has received, and the way to wait for one. */
export class SocketClient {
  readonly socket: WebSocket;
  readonly events: ServerEvent[] = [];
  #waiting: (() => void)[] = [];

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Buffer) => {
      const event: ServerEvent = JSON.parse(data.toString());
      this.events.push(event);
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  send(event: unknown): void {
    this.socket.send(typeof event === 'string' ? event : JSON.stringify(event));
  }

  /** The first event that fits and has not been taken before. */
  async take(fits: (event: ServerEvent) => boolean): Promise<ServerEvent> {
    for (;;) {
      const index = this.events.findIndex(fits);
      if (index >= 0) return this.events.splice(index, 1)[0]!;
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  takeType(type: string): Promise<ServerEvent> {
    return this.take((event) => event.type === type);
  }

  /** One response from its request to its terminal event; for one response at a time. */
  async respond(request: object): Promise<ServerEvent[]> {
    this.send({ type: 'response.create', ...request });
    const received: ServerEvent[] = [];
    do received.push(await this.take(() => true));
    while (!terminal.has(received.at(-1)!.type));
    return received;
  }
}
