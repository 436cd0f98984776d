/** node-llama-cpp, with its own predictor where the contestant looks tokens up in the prompt. */
import { getLlama, InputLookupTokenPredictor, LlamaLogLevel, type Token } from 'node-llama-cpp';
import { DecodingClock, type OpenRuntime } from '../runtime.ts';

const CONTEXT_SIZE = 1024;

export const openRuntime: OpenRuntime = async ({ modelPath, decoding, numThreads }) => {
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    logLevel: LlamaLogLevel.error,
    maxThreads: numThreads,
  });
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({ contextSize: CONTEXT_SIZE, threads: numThreads });
  const predictor = decoding === 'prompt lookup' ? { tokenPredictor: new InputLookupTokenPredictor() } : {};
  const sequence = context.getSequence(predictor);
  return {
    async decode(promptIds, numTokens) {
      const clock = new DecodingClock();
      const prompt = promptIds as Token[];
      await sequence.clearHistory();
      sequence.tokenPredictor?.updateInputTokens(prompt);
      for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
        clock.push(token);
        if (clock.numTokens === numTokens) break;
      }
      return clock.decoding(numTokens);
    },
  };
};
