/** What the benchmarks keep in docs/results. */
import type { AcceptanceSummary } from './acceptance-summary.ts';
import type { SummariesByKind } from './loops.ts';
import type { Summary } from './summary.ts';

/** Label and value of what the model card quotes. */
export type Card = Readonly<Record<string, string>>;

/** Of `npm run bench`. */
export interface BenchRecord {
  readonly date: string;
  readonly model: string;
  readonly machine: string;
  readonly node: string;
  /** Of a forward; absent: 1. */
  readonly numThreads?: number;
  readonly numTokens: number;
  /** Pairs of a prompt, with and without speculation, of which the medians count. */
  readonly numRepeats: number;
  readonly maxDraftTokens: number;
  readonly adaptive: boolean;
  /** By temperature, as `T=0.8`. */
  readonly results: Readonly<Record<string, SummariesByKind<Summary>>>;
  /** Of longer, greedy continuations: how much the model repeats itself. Absent where the prompts are adversarial. */
  readonly quality?: SummariesByKind<AcceptanceSummary> & { readonly numTokens: number };
  readonly card: Card;
}

/** Of `npm run bench:acceptance`. */
export interface AcceptanceRecord {
  readonly date: string;
  readonly model: string;
  readonly numTokens: number;
  /** Drafts of every round. */
  readonly numDraftTokens: number;
  /** By temperature, as `T=0.6`. */
  readonly results: Readonly<Record<string, SummariesByKind<AcceptanceSummary>>>;
  readonly card: Card;
}
