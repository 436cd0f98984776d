/**
 * The engine as the server starts it. `plain` is the baseline that a speedup is measured against, one token wide: it is
 * never served, so its time is taken from a replay and its tokens are not known.
 */
import { GREEDY } from '../../../src/decoding/sampling-params.ts';
import { openEngine } from '../../bench/open-engine.ts';
import { DecodingClock, type OpenRuntime } from '../runtime.ts';

export const openRuntime: OpenRuntime = async ({ modelPath, decoding, numThreads }) => {
  const engine = await openEngine(modelPath, numThreads);
  const speculation = {
    maxDraftTokens: decoding === 'off' ? 0 : engine.model.numSpecTokens,
    adaptive: decoding !== 'off',
    measureBaseline: decoding === 'plain',
  };
  return {
    async decode(promptIds, numTokens) {
      const clock = new DecodingClock();
      const request = {
        prompt: promptIds,
        maxTokens: numTokens,
        sampling: GREEDY,
        stop: [],
        ignoreEos: true,
        echo: false,
        speculation,
      };
      for await (const event of engine.generate(request)) {
        if (event.type === 'tokens-generated') clock.push(...event.tokens.map(({ tokenId }) => tokenId));
        if (event.type === 'generation-finished' && decoding === 'plain') {
          return { tokenIds: null, tokensPerSecond: (numTokens - 1) / event.report.baseline!.seconds };
        }
      }
      return clock.decoding(numTokens);
    },
  };
};
