/** @fugood/llama.node. It takes text only, so ids go in and come out as the vocabulary of the GGUF spells them. */
import { createRequire } from 'node:module';
import { tokenText } from '../gguf/llama-gguf.ts';
import { DecodingClock, type OpenRuntime } from '../runtime.ts';

/** The part in use: its own types are TypeScript sources that other settings than its own reject. */
interface LlamaNode {
  readonly loadModel: (options: {
    readonly model: string;
    readonly n_ctx: number;
    readonly n_threads: number;
    readonly n_gpu_layers: number;
    readonly n_parallel: number;
  }) => Promise<{
    readonly completion: (
      options: {
        readonly prompt: string;
        readonly n_predict: number;
        readonly ignore_eos: boolean;
        readonly temperature: number;
        readonly top_k: number;
      },
      callback: (data: { readonly token: string }) => void,
    ) => Promise<unknown>;
  }>;
}

const { loadModel } = createRequire(import.meta.url)('@fugood/llama.node') as LlamaNode;
const CONTEXT_SIZE = 1024;

export const openRuntime: OpenRuntime = async ({ modelPath, numThreads }) => {
  const context = await loadModel({
    model: modelPath,
    n_ctx: CONTEXT_SIZE,
    n_threads: numThreads,
    n_gpu_layers: 0,
    n_parallel: 1,
  });
  return {
    async decode(promptIds, numTokens) {
      const clock = new DecodingClock();
      // Temperature 0 alone still samples among the candidates.
      const greedy = { temperature: 0, top_k: 1 };
      const prompt = promptIds.map(tokenText).join('');
      await context.completion({ prompt, n_predict: numTokens, ignore_eos: true, ...greedy }, ({ token }) => {
        clock.push(...[...token.matchAll(/<(\d+)>/g)].map(([, id]) => Number(id)));
      });
      return clock.decoding(numTokens);
    },
  };
};
