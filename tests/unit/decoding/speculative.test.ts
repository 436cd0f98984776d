import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UNDECIDED, type DecodingState } from '../../../src/decoding/decoding-state.ts';
import { fixedDepth, type DraftPlan } from '../../../src/decoding/draft-plan.ts';
import { MtpDrafter } from '../../../src/decoding/mtp-drafter.ts';
import { prefill } from '../../../src/decoding/prefill.ts';
import { Sampler } from '../../../src/decoding/sampler.ts';
import type { SamplingParams } from '../../../src/decoding/sampling-params.ts';
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

const CAPACITY = 256;

interface Decoding {
  readonly prompt: readonly number[];
  readonly numTokens: number;
  readonly params: SamplingParams;
  readonly plan: (round: number) => DraftPlan;
  readonly agrees: (position: number) => boolean;
  readonly maxWidth?: number;
}

/** Decodes through prefill and rounds; also returns how many drafts were accepted. */
async function decode(
  decoding: Decoding,
): Promise<{ tokenIds: number[]; numAccepted: number; widths: number[] }> {
  const { prompt, numTokens, params } = decoding;
  const target = new ScriptedTarget(decoding.maxWidth);
  const cache = new ScriptedCache(CAPACITY);
  const mtp = new ScriptedMtp(decoding.agrees, decoding.maxWidth);
  const state: DecodingState = {
    clock: { seconds: 0 },
    target,
    cache,
    sampler: new Sampler(params, prompt),
    drafter: new MtpDrafter(mtp, new ScriptedCache(CAPACITY), HIDDEN_SIZE),
    nextTokenId: UNDECIDED,
  };
  for await (const chunk of prefill(state, prompt)) expect(chunk.tokenIds.length).toBeGreaterThan(0);
  const tokenIds = [state.nextTokenId];
  let numAccepted = 0;
  for (let round = 0; tokenIds.length < numTokens; round += 1) {
    const result = await decodeRound(state, decoding.plan(round));
    expect(cache.length).toBe(prompt.length + tokenIds.length - 1 + result.tokenIds.length);
    expect(cache.tokenIds.slice(0, cache.length)).toEqual(
      [...prompt, ...tokenIds, ...result.tokenIds].slice(0, cache.length),
    );
    tokenIds.push(...result.tokenIds);
    numAccepted += result.numAccepted;
  }
  return { tokenIds: tokenIds.slice(0, numTokens), numAccepted, widths: target.widths };
}

/** Depths in turn; of every second round's drafts only the first half is verified. */
function dropping(depths: readonly number[], round: number): DraftPlan {
  const share = round % 2 === 0 ? 1 : 0.5;
  return {
    ...fixedDepth(depths[round % depths.length]!),
    numToVerify: (margins) => Math.ceil(margins.length * share),
  };
}

/** Token by token from the definition, without any of the code under test but the sampler. */
function reference(prompt: readonly number[], numTokens: number, params: SamplingParams): number[] {
  const sampler = new Sampler(params, prompt);
  const tokenIds: number[] = [];
  while (tokenIds.length < numTokens) {
    const tokenId = sampler.choose(
      scriptedLogits(hashOf([...prompt, ...tokenIds])),
      prompt.length + tokenIds.length,
    );
    sampler.push(tokenId);
    tokenIds.push(tokenId);
  }
  return tokenIds;
}

const prompts = fc.array(fc.nat(VOCAB_SIZE - 1), { minLength: 1, maxLength: 40 });
const patterns = fc.array(fc.boolean(), { minLength: 1, maxLength: 12 });
const depths = fc.array(fc.nat(6), { minLength: 1, maxLength: 6 });
const params = fc.record({
  temperature: fc.constantFrom(0, 0.6, 1, 1.5),
  topP: fc.constantFrom(1, 0.8),
  topK: fc.constantFrom(0, 5),
  minP: fc.constantFrom(0, 0.05),
  presencePenalty: fc.constantFrom(0, 0.7),
  frequencyPenalty: fc.constantFrom(0, 0.4),
  repetitionPenalty: fc.constantFrom(1, 1.3),
  seed: fc.nat(),
});

describe('decodeRound', () => {
  it('counts no moment twice', async () => {
    const reading = { seconds: 0 };
    const prompt = [3, 1, 4];
    const mtp = new ScriptedMtp(() => true);
    const cache = new ScriptedCache(CAPACITY);
    const state: DecodingState = {
      // Every reading takes a second.
      clock: {
        get seconds() {
          return (reading.seconds += 1);
        },
      },
      target: new ScriptedTarget(),
      cache,
      sampler: new Sampler(samplingParams(), prompt),
      drafter: new MtpDrafter(mtp, new ScriptedCache(CAPACITY), HIDDEN_SIZE),
      nextTokenId: UNDECIDED,
    };
    for await (const chunk of prefill(state, prompt)) expect(chunk.tokenIds).toEqual(prompt);
    const before = reading.seconds;
    const round = await decodeRound(state, fixedDepth(3));
    expect(round.numDrafted).toBe(3);
    expect(round.draftChooseSeconds).toBe(3);
    expect(round.draftChooseSeconds).toBeLessThan(round.sampleSeconds);
    const parts = round.draftSeconds + round.verifySeconds + round.sampleSeconds;
    expect(parts).toBeLessThan(reading.seconds - before);
  });

  it('gives the greedy text of the target for every depth and acceptance pattern', async () => {
    for (let depth = 0; depth <= 6; depth += 1) {
      for (const period of [1, 2, 3, 5, Infinity]) {
        const prompt = [3, 1, 4, 1, 5];
        const { tokenIds } = await decode({
          prompt,
          numTokens: 60,
          params: samplingParams(),
          plan: () => fixedDepth(depth),
          agrees: (position) => position % period !== 0,
        });
        expect(tokenIds).toEqual(reference(prompt, 60, samplingParams()));
      }
    }
  });

  it('gives the same text whatever is drafted, sampled or greedy, with truncation and penalties', async () => {
    await fc.assert(
      fc.asyncProperty(prompts, patterns, depths, params, async (prompt, pattern, depthPattern, given) => {
        const sampling = samplingParams(given);
        const { tokenIds } = await decode({
          prompt,
          numTokens: 40,
          params: sampling,
          plan: (round) => dropping(depthPattern, round),
          agrees: (position) => pattern[position % pattern.length]!,
        });
        expect(tokenIds).toEqual(reference(prompt, 40, sampling));
      }),
      { numRuns: 200 },
    );
  });

  it('does not depend on how the prompt is cut into chunks', async () => {
    const prompt = Array.from({ length: 37 }, (_, index) => (index * 7) % VOCAB_SIZE);
    for (const maxWidth of [9, 12, 16, 18, 36, 37, 64]) {
      const { tokenIds } = await decode({
        prompt,
        numTokens: 20,
        params: samplingParams({ temperature: 0.8, seed: 9 }),
        plan: () => fixedDepth(3),
        agrees: () => true,
        maxWidth,
      });
      expect(tokenIds).toEqual(reference(prompt, 20, samplingParams({ temperature: 0.8, seed: 9 })));
    }
  });

  it('never decides on a forward of one token', async () => {
    const { widths } = await decode({
      prompt: [7],
      numTokens: 12,
      params: samplingParams(),
      plan: (round) => fixedDepth(round % 3),
      agrees: (position) => position % 2 === 0,
    });
    expect(Math.min(...widths)).toBe(2);
  });

  it('accepts every draft of a drafter that agrees, at temperature too, as both draw the same noise', async () => {
    for (const temperature of [0, 0.8]) {
      const { numAccepted } = await decode({
        prompt: [1, 2, 3],
        numTokens: 41,
        params: samplingParams({ temperature, seed: 5, frequencyPenalty: 0.3 }),
        plan: () => fixedDepth(3),
        agrees: () => true,
      });
      expect(numAccepted).toBe(30);
    }
  });

  it('accepts nothing of a greedy drafter that is always wrong, and the greatest logit is what the target says', async () => {
    const { tokenIds, numAccepted } = await decode({
      prompt: [1, 2, 3],
      numTokens: 10,
      params: samplingParams(),
      plan: () => fixedDepth(3),
      agrees: () => false,
    });
    expect(numAccepted).toBe(0);
    expect(tokenIds[0]).toBe(argmax(scriptedLogits(hashOf([1, 2, 3]))));
  });
});
