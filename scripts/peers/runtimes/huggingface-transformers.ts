/** transformers.js on foretoken's own graph of the target model, whose caches it passes as new tensors each step. */
import { basename, dirname } from 'node:path';
import {
  AutoModelForCausalLM,
  BaseStreamer,
  env,
  Tensor,
  type TextStreamer,
} from '@huggingface/transformers';
import { DecodingClock, type OpenRuntime } from '../runtime.ts';

/** Given the prompt first, then token by token. */
class ClockStreamer extends BaseStreamer {
  readonly clock = new DecodingClock();
  #isPrompt = true;

  override put(batch: bigint[][]): void {
    if (!this.#isPrompt) this.clock.push(...batch[0]!.map(Number));
    this.#isPrompt = false;
  }

  override end(): void {}
}

export const openRuntime: OpenRuntime = async ({ modelPath, numThreads }) => {
  env.allowRemoteModels = false;
  env.localModelPath = dirname(modelPath);
  const model = await AutoModelForCausalLM.from_pretrained(basename(modelPath), {
    // Means: no suffix to the graph's name. The graph is quantised as it is.
    dtype: 'fp32',
    device: 'cpu',
    local_files_only: true,
    session_options: { intraOpNumThreads: numThreads },
  });
  return {
    async decode(promptIds, numTokens) {
      const dims = [1, promptIds.length];
      const streamer = new ClockStreamer();
      await model.generate({
        inputs: new Tensor('int64', BigInt64Array.from(promptIds, BigInt), dims),
        attention_mask: new Tensor('int64', new BigInt64Array(promptIds.length).fill(1n), dims),
        max_new_tokens: numTokens,
        do_sample: false,
        // Typed as one that also decodes text, of which nothing is called.
        streamer: streamer as unknown as TextStreamer,
      });
      return streamer.clock.decoding(numTokens);
    },
  };
};
