/** Text that is a function of prompt, seed and temperature, in real rounds with real counters. */
import type { GeneratedToken, GenerationEvent, GenerationRequest } from '../../src/engine/generation.ts';
import type { EngineObserver, FinishReason } from '../../src/metrics/engine-observer.ts';
import type { GenerationReport } from '../../src/metrics/generation-report.ts';
import { SpecDecodeStats } from '../../src/metrics/spec-decode-stats.ts';

const numByteTokens = 256;
const pieces = [
  'const ',
  'value',
  ' = ',
  'await ',
  'read',
  'File',
  '(',
  'path',
  ')',
  ';\n',
  'ü',
  '→ ',
  'return ',
  '{ ',
  '} ',
];

export const scriptedVocabSize = numByteTokens + pieces.length;

const secondsPerRound = { draftSeconds: 0.001, verifySeconds: 0.004, sampleSeconds: 0.0005 };
const decodeSecondsPerRound = 0.0055;
const plainSecondsPerToken = 0.004;

function hash(text: string): number {
  let state = 2166136261;
  for (const character of text) state = Math.imul(state ^ character.codePointAt(0)!, 16777619);
  return state >>> 0;
}

/** One sequence: its tokens depend on nothing but prompt, seed and temperature. */
export class Script {
  readonly promptIds: readonly number[];
  readonly #key: string;
  readonly #numTokens: number;

  constructor(request: GenerationRequest) {
    const { prompt, sampling } = request;
    this.promptIds = typeof prompt === 'string' ? [...new TextEncoder().encode(prompt)] : prompt;
    const noise = sampling.temperature === 0 ? 'greedy' : `${sampling.seed}/${sampling.temperature}`;
    this.#key = `${this.promptIds.join(',')}/${noise}`;
    this.#numTokens = request.ignoreEos ? Infinity : 12 + (hash(this.#key) % 12);
  }

  tokenId(position: number): number | null {
    if (position >= this.#numTokens) return null;
    return numByteTokens + (hash(`${this.#key}/${position}`) % pieces.length);
  }

  numAccepted(round: number, numDraftTokens: number): number {
    return hash(`${this.#key}/round ${round}`) % (numDraftTokens + 1);
  }
}

function tokenText(tokenId: number): string {
  if (tokenId >= numByteTokens) return pieces[tokenId - numByteTokens]!;
  return tokenId < 128 ? String.fromCharCode(tokenId) : '\uFFFD';
}

export function generatedToken(
  tokenId: number,
  source: 'draft' | 'target',
  request: GenerationRequest,
): GeneratedToken {
  const text = tokenText(tokenId);
  if (request.logprobs === undefined) return { tokenId, text, source };
  const logprob = -0.25;
  const topLogprobs = Array.from({ length: request.logprobs }, (_, rank) => ({
    tokenId: numByteTokens + rank,
    text: tokenText(numByteTokens + rank),
    logprob: logprob - 1 - rank,
  }));
  return { tokenId, text, source, logprob, topLogprobs };
}

export class ScriptedRun {
  numRounds = 0;
  finishReason: FinishReason | null = null;
  readonly #request: GenerationRequest;
  readonly #script: Script;
  readonly #stats: SpecDecodeStats;
  #numTokens = 0;
  #text = '';

  constructor(request: GenerationRequest, script: Script, stats: SpecDecodeStats) {
    this.#request = request;
    this.#script = script;
    this.#stats = stats;
  }

  nextRound(): { event: GenerationEvent; round: Parameters<EngineObserver['roundFinished']>[0] } {
    const request = this.#request;
    const { numSpecTokens } = this.#stats;
    // The first token is prefill's and had no drafts.
    const numDraftTokens = this.numRounds === 0 ? 0 : numSpecTokens;
    const numAcceptedDraftTokens = this.#script.numAccepted(this.numRounds, numDraftTokens);
    this.#stats.addRound(numDraftTokens, numAcceptedDraftTokens);
    this.numRounds += 1;
    const tokens: GeneratedToken[] = [];
    for (let index = 0; index <= numAcceptedDraftTokens && this.finishReason === null; index += 1) {
      const tokenId = this.#script.tokenId(this.#numTokens);
      if (tokenId === null) {
        this.finishReason = 'stop';
        break;
      }
      tokens.push(generatedToken(tokenId, index < numAcceptedDraftTokens ? 'draft' : 'target', request));
      this.#numTokens += 1;
      if (this.#numTokens === request.maxTokens) this.finishReason = 'length';
    }
    const text = this.#visible(tokens.map((token) => token.text).join(''));
    const round = {
      numSharing: 1,
      latencySeconds: 0.006,
      numDraftTokens,
      numAcceptedDraftTokens,
      drafter: 'mtp' as const,
      ...secondsPerRound,
    };
    return { event: { type: 'tokens-generated', text, tokens }, round };
  }

  /** Pieces are short, so a stop string is only looked for in what a round added to the text before. */
  #visible(added: string): string {
    const whole = this.#text + added;
    const ends = this.#request.stop.map((stop) => whole.indexOf(stop)).filter((index) => index >= 0);
    const visible =
      ends.length === 0 ? whole : whole.slice(0, Math.max(Math.min(...ends), this.#text.length));
    if (ends.length > 0) this.finishReason = 'stop';
    const delta = visible.slice(this.#text.length);
    this.#text = visible;
    return delta;
  }

  report(): GenerationReport {
    const numDecodeRounds = Math.max(this.numRounds - 1, 0);
    const baselineSeconds = Math.max(this.#numTokens - 1, 0) * plainSecondsPerToken;
    const measured = this.#request.speculation?.measureBaseline === true;
    return {
      numPromptTokens: this.#script.promptIds.length,
      numQueriedTokens: this.#request.cachePrompt === false ? 0 : this.#script.promptIds.length,
      numCachedTokens: 0,
      numCompletionTokens: this.#numTokens,
      speculation: this.#stats.counters(),
      timings: {
        queueSeconds: 0,
        prefillSeconds: 0.01,
        timeToFirstTokenSeconds: 0.011,
        decodeSeconds: numDecodeRounds * decodeSecondsPerRound,
        draftSeconds: numDecodeRounds * secondsPerRound.draftSeconds,
        verifySeconds: numDecodeRounds * secondsPerRound.verifySeconds,
        sampleSeconds: numDecodeRounds * secondsPerRound.sampleSeconds,
        totalSeconds: 0.011 + numDecodeRounds * decodeSecondsPerRound,
      },
      baseline:
        this.#numTokens > 1
          ? {
              method: measured ? 'measured' : 'calibrated',
              seconds: baselineSeconds,
              ...(measured ? { identical: true } : {}),
            }
          : null,
    };
  }
}
