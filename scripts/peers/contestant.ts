/** What takes part: a runtime with weights, a way of decoding and a number of threads. */
import type { PeerSetting } from '../bench/peers-record.ts';
import type { GgufPrecision } from './gguf/llama-gguf.ts';

/** Modules of ./runtimes. */
export const RUNTIMES = {
  foretoken: 'foretoken',
  'node-llama-cpp': 'node-llama-cpp',
  '@fugood/llama.node': 'fugood-llama-node',
  '@huggingface/transformers': 'huggingface-transformers',
} as const;

export type RuntimeName = keyof typeof RUNTIMES;

export interface Contestant extends PeerSetting {
  readonly runtime: RuntimeName;
  /** What the runtime loads: a model folder, or a GGUF file. */
  readonly modelPath: string;
}

/** Paths of the same weights. */
export interface ModelFiles {
  readonly foretokenFolder: string;
  /** How foretoken's folder keeps its matrices. */
  readonly foretokenWeights: string;
  readonly transformersFolder: string;
  readonly gguf: Readonly<Record<GgufPrecision, string>>;
}

export const nameOf = ({ runtime, weights, decoding, numThreads }: PeerSetting): string =>
  `${runtime} ${weights} ${decoding}, threads ${numThreads}`;

/** numThreads: the numbers that every runtime tries. */
export function contestants(files: ModelFiles, numThreads: readonly number[]): Contestant[] {
  const own = (['speculative', 'plain', 'off'] as const).map((decoding) => ({
    runtime: 'foretoken' as const,
    weights: files.foretokenWeights,
    decoding,
    modelPath: files.foretokenFolder,
  }));
  const ofGguf = (runtime: RuntimeName, decoding: PeerSetting['decoding']) =>
    Object.entries(files.gguf).map(([weights, modelPath]) => ({ runtime, weights, decoding, modelPath }));
  const all = [
    ...own,
    ...ofGguf('node-llama-cpp', 'plain'),
    ...ofGguf('node-llama-cpp', 'prompt lookup'),
    ...ofGguf('@fugood/llama.node', 'plain'),
    {
      runtime: '@huggingface/transformers' as const,
      weights: files.foretokenWeights,
      decoding: 'plain' as const,
      modelPath: files.transformersFolder,
    },
  ];
  return all.flatMap((each) => numThreads.map((number) => ({ ...each, numThreads: number })));
}
