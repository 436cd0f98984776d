/** A GenerationRun whose worker is the test: it records what the run sends and reports, and plays the rounds. */
import type { GenerationEvent, GenerationRequest, SpeculationSettings } from '../../src/engine/generation.ts';
import { GenerationRun } from '../../src/engine/generation-run.ts';
import type { DecidedToken, MainMessage } from '../../src/engine/protocol.ts';
import type { FinishReason, FinishedRound } from '../../src/metrics/engine-observer.ts';
import type { GenerationReport } from '../../src/metrics/generation-report.ts';
import { ByteTokenizer } from './byte-tokenizer.ts';
import { generationRequest } from './generation-request.ts';

export const RUN_ID = 7;
export const byteTokenizer = new ByteTokenizer();

/** All but the last are accepted drafts. */
export function decidedTokens(text: string): DecidedToken[] {
  const tokenIds = byteTokenizer.encode(text);
  return tokenIds.map((tokenId, index) => ({ tokenId, isDraft: index < tokenIds.length - 1 }));
}

export class RecordedRun {
  readonly run: GenerationRun;
  readonly sent: MainMessage[] = [];
  readonly outcomes: { readonly outcome: string; readonly report: GenerationReport }[] = [];
  readonly rounds: FinishedRound[] = [];
  numDone = 0;

  constructor(given: Partial<GenerationRequest> = {}, speculation: Partial<SpeculationSettings> = {}) {
    const request = generationRequest(given);
    const { prompt } = request;
    const tokenIds = typeof prompt === 'string' ? byteTokenizer.encode(prompt) : prompt;
    const settings = { maxDraftTokens: 4, adaptive: true, measureBaseline: false, ...speculation };
    this.run = new GenerationRun(RUN_ID, request, { tokenIds, openEnd: [], maxTokens: 40 }, settings, {
      tokenizer: byteTokenizer,
      observer: {
        roundFinished: (round) => this.rounds.push(round),
        requestFinished: (outcome, report) => this.outcomes.push({ outcome, report }),
        workerRestarted: () => {},
      },
      send: (message) => this.sent.push(message),
      done: () => {
        this.numDone += 1;
      },
    });
    this.run.start();
  }

  /** The first byte of `text`. */
  prefill(text: string, finish: FinishReason | null = null): void {
    this.run.receive({ type: 'request-started', id: RUN_ID });
    const [token] = decidedTokens(text);
    this.run.receive({
      type: 'request-prefilled',
      id: RUN_ID,
      token: token!,
      numReplacedTokens: 0,
      prefillSeconds: 0.5,
      numQueriedTokens: 3,
      numCachedTokens: 2,
      finish,
    });
  }

  /** A round of four drafts, in a second; plain decoding takes one a token. */
  decide(text: string, finish: FinishReason | null = null): void {
    const tokens = decidedTokens(text);
    const parts = { draftSeconds: 0.25, verifySeconds: 0.5, sampleSeconds: 0.125 };
    this.run.receive({
      type: 'tokens-decided',
      id: RUN_ID,
      tokens,
      round: {
        numSharing: 2,
        numDraftTokens: 4,
        numAcceptedDraftTokens: tokens.length - 1,
        drafter: 'mtp',
        ...parts,
      },
      decodeSeconds: 1,
      baselineSeconds: tokens.length,
      finish,
    });
  }

  async events(): Promise<GenerationEvent[]> {
    const events: GenerationEvent[] = [];
    for await (const event of this.run.events) events.push(event);
    return events;
  }
}

export const textOf = (events: readonly GenerationEvent[]): string =>
  events.map((event) => (event.type === 'tokens-generated' ? event.text : '')).join('');

export const tokenIdsOf = (events: readonly GenerationEvent[]): number[] =>
  events.flatMap((event) =>
    event.type === 'tokens-generated' ? event.tokens.map(({ tokenId }) => tokenId) : [],
  );
