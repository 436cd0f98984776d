import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UNDECIDED, type DecodingState } from '../../../src/decoding/decoding-state.ts';
import { fixedDepth } from '../../../src/decoding/draft-plan.ts';
import { MtpDrafter } from '../../../src/decoding/mtp-drafter.ts';
import { prefill } from '../../../src/decoding/prefill.ts';
import { Sampler } from '../../../src/decoding/sampler.ts';
import { decodeRound } from '../../../src/decoding/speculative.ts';
import { argmax, samplingParams } from '../../support/sampling.ts';
import {
  hashOf,
  HIDDEN_SIZE,
  ScriptedCache,
  ScriptedMtp,
  scriptedLogits,
  ScriptedTarget,
  VOCAB_SIZE,
} from '../../support/scripted-model.ts';

interface Prompt {
  readonly tokenIds: readonly number[];
  readonly openEnd: readonly { readonly extensions: readonly number[] }[];
}

function newState(prompt: Prompt, maxWidth: number, temperature: number): DecodingState {
  const mtp = new ScriptedMtp((position) => position % 3 !== 0, maxWidth);
  return {
    clock: { seconds: 0 },
    target: new ScriptedTarget(maxWidth),
    cache: new ScriptedCache(64),
    sampler: new Sampler(samplingParams({ temperature, seed: 5 }), prompt.tokenIds),
    drafter: new MtpDrafter(mtp, new ScriptedCache(64), HIDDEN_SIZE),
    nextTokenId: UNDECIDED,
  };
}

/** The first token and those of some rounds. */
async function decode(state: DecodingState, prompt: Prompt): Promise<number[]> {
  for await (const chunk of prefill(state, prompt.tokenIds, prompt.openEnd))
    expect(chunk.tokenIds.length).toBeGreaterThan(0);
  const tokenIds = [state.nextTokenId];
  while (tokenIds.length < 12) tokenIds.push(...(await decodeRound(state, fixedDepth(2))).tokenIds);
  return tokenIds.slice(0, 12);
}

const tokenId = fc.nat(VOCAB_SIZE - 1);

describe('the open end of a prompt', () => {
  it('gives way where the model prefers another token, whatever the chunks', async () => {
    const prompts = fc.record({
      settled: fc.array(tokenId, { minLength: 1, maxLength: 8 }),
      open: fc.array(fc.record({ given: tokenId, extensions: fc.array(tokenId, { maxLength: 6 }) }), {
        minLength: 1,
        maxLength: 3,
      }),
    });
    await fc.assert(
      fc.asyncProperty(prompts, fc.integer({ min: 2, max: 16 }), async ({ settled, open }, maxWidth) => {
        // By hand: the best of the given token and its extensions, until one is another.
        const kept = [...settled];
        let replacement: number | null = null;
        for (const { given, extensions } of open) {
          const logits = scriptedLogits(hashOf(kept));
          const allowed = new Set([given, ...extensions]);
          const best = argmax(logits.map((logit, index) => (allowed.has(index) ? logit : -Infinity)));
          if (best !== given) {
            replacement = best;
            break;
          }
          kept.push(given);
        }
        const first = replacement ?? argmax(scriptedLogits(hashOf(kept)));

        const prompt = { tokenIds: [...settled, ...open.map(({ given }) => given)], openEnd: open };
        const state = newState(prompt, maxWidth, 0);
        for await (const _ of prefill(state, prompt.tokenIds, prompt.openEnd));
        expect(state.nextTokenId).toBe(first);
        const cache = state.cache as ScriptedCache;
        expect(cache.tokenIds.slice(0, cache.length)).toEqual(kept);
      }),
      { numRuns: 500 },
    );
  });

  it.each([0, 1])(
    'goes on as a prompt does that ends where it gave way, at temperature %d',
    async (temperature) => {
      const everything = { extensions: [...Array(VOCAB_SIZE).keys()] };
      const prompt = { tokenIds: [3, 1, 4, 1, 5, 9, 2, 6], openEnd: [everything, everything] };
      const short = { tokenIds: prompt.tokenIds.slice(0, 6), openEnd: [] };
      const expected = await decode(newState(prompt, 16, temperature), short);
      // What may stand in the token's place is everything: so it is the token that follows anyway.
      expect(expected[0]).not.toBe(prompt.tokenIds[6]);
      for (const maxWidth of [3, 6, 7, 16])
        expect(await decode(newState(prompt, maxWidth, temperature), prompt)).toEqual(expected);
    },
  );

  it('is as the prompt is where nothing else may stand in its place', async () => {
    const prompt = { tokenIds: [3, 1, 4], openEnd: [{ extensions: [] }, { extensions: [] }] };
    const expected = await decode(newState(prompt, 16, 1), { ...prompt, openEnd: [] });
    expect(await decode(newState(prompt, 16, 1), prompt)).toEqual(expected);
  });
});
