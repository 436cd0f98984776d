/** What `npm run profile` keeps of the engine's rounds, and the sentence of the README that is made of it. */
import { format } from './statistics.ts';

export interface ProfileRecord {
  readonly date: string;
  readonly model: string;
  readonly machine: string;
  readonly node: string;
  readonly numThreads: number;
  readonly numRounds: number;
  /** Of a round: their shares add up to 1. */
  readonly parts: readonly {
    readonly part: 'draft' | 'verify' | 'sample' | 'rest';
    readonly ms_per_round: number;
    readonly share: number;
  }[];
  /** Of ONNX Runtime, by what they take without kernels; within drafts and verifies. */
  readonly calls: { readonly ms_per_round: number; readonly share: number };
  /** Share of calls, choosing tokens and the rest. */
  readonly overhead: number;
}

export function profileSentence(record: ProfileRecord): string {
  const percent = (share: number): string => `${format(share * 100, 1)}%`;
  const shareOf = (name: string): string =>
    percent(record.parts.find(({ part }) => part === name)?.share ?? 0);
  return (
    `\`npm run profile\` (${record.model}, ${record.machine}, ${record.numThreads === 1 ? 'one thread' : `${record.numThreads} threads`} ` +
    `a forward, Node ${record.node}, ${record.date}): of ${record.numRounds} greedy rounds ${shareOf('verify')} of the time are ` +
    `verifies, ${shareOf('draft')} drafts, ${shareOf('sample')} choosing tokens, ${shareOf('rest')} everything else. Calls of ONNX ` +
    `Runtime, without its kernels, are ${percent(record.calls.share)}; with choosing and everything else they come to **${percent(record.overhead)}**.`
  );
}
