/** How a request ended as its client saw it, and what a client may do to it. */

export type ClientOutcome =
  /** To its end, with the report. */
  | { readonly kind: 'completed'; readonly numTokens: number; readonly eventMs: readonly number[] }
  /** By an error after it was accepted. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** Before any work. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** By its client, after it was accepted. */
  | { readonly kind: 'left' }
  /** By its client, before it could know whether it was accepted. */
  | { readonly kind: 'left-early' }
  /** In no way that the protocol knows: an answer that stops, or none at all. */
  | { readonly kind: 'lost'; readonly reason: string };

export interface ClientBehaviour {
  /** Leaves after so many events with text; 0: as soon as the request is sent. Absent: stays. */
  readonly leaveAfter?: number;
  /** How a client on a WebSocket leaves; one of HTTP can only drop its connection. */
  readonly byCancel?: boolean;
  /** Does not read for so long after every event. */
  readonly pauseMs?: number;
}

/** `completed`, or `failed: engine_failed`. */
export function outcomeName(outcome: ClientOutcome): string {
  return 'reason' in outcome ? `${outcome.kind}: ${outcome.reason}` : outcome.kind;
}

export function countOutcomes(outcomes: readonly ClientOutcome[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) {
    const name = outcomeName(outcome);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
