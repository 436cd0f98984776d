/** Measures what steps cost at start-up: medians of interleaved repetitions, within a time budget. */
import { Sampler } from '../decoding/sampler.ts';
import type { SamplingParams } from '../decoding/sampling-params.ts';
import { plainStep } from '../decoding/autoregressive.ts';
import type { MeasuredCosts } from '../decoding/step-costs.ts';
import type { KvCache } from '../model/target-model.ts';
import type { LoadedModel } from './loaded-model.ts';

const BUDGET_SECONDS = 2.2;
const MIN_REPETITIONS = 3;
const MAX_REPETITIONS = 25;
/** Steps run back to back per sample, as in real decoding; the first warms the caches and is not counted. */
const STEPS_PER_SAMPLE = 4;

export const GREEDY: SamplingParams = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  logitBias: new Map(),
  seed: 0,
};

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

export async function calibrate(model: LoadedModel): Promise<MeasuredCosts> {
  const { target, mtp, manifest } = model;
  const cache = model.targetCaches.take();
  const mtpCache = model.mtpCaches?.take() ?? null;
  const sampler = new Sampler(GREEDY, [], manifest.vocabSize);
  const last = manifest.contextLength - manifest.maxSpecTokens - 1;
  const lengths = [...new Set([16, 256, 1024, last].filter((length) => length <= last))];
  const reference = Math.min(256, last);
  const plainSamples = lengths.map((): number[] => []);
  const verifySamples = Array.from({ length: manifest.maxSpecTokens + 2 }, (): number[] => []);
  const draftSamples = Array.from({ length: manifest.maxSpecTokens + 1 }, (): number[] => []);
  const start = performance.now();
  try {
    for (let repetition = 0; repetition < MAX_REPETITIONS; repetition += 1) {
      if (repetition >= MIN_REPETITIONS && performance.now() - start > BUDGET_SECONDS * 1000) break;
      for (const [index, length] of lengths.entries()) {
        plainSamples[index]!.push(
          await timeSteps(cache, length, async () => {
            await plainStep(target, cache, sampler, 1);
          }),
        );
      }
      for (let width = 2; width < verifySamples.length; width += 1) {
        const tokenIds = Array.from({ length: width }, (_, index) => index);
        verifySamples[width]!.push(
          await timeSteps(cache, reference, async () => {
            const { logits } = await target.forward(cache, tokenIds);
            sampler.choose(logits.subarray(0, target.vocabSize), cache.length);
          }),
        );
      }
      if (mtp !== null && mtpCache !== null) {
        const state = new Float32Array(manifest.hiddenSize).fill(0.1);
        const chain = await timeSteps(mtpCache, reference, async () => {
          const { logits } = await mtp.forward(mtpCache, [1], state);
          sampler.choose(logits, mtpCache.length);
        });
        for (let depth = 1; depth < draftSamples.length; depth += 1) draftSamples[depth]!.push(depth * chain);
      }
    }
  } finally {
    cache.rewindTo(0);
    model.targetCaches.giveBack(cache);
    if (mtpCache !== null) model.mtpCaches?.giveBack(mtpCache);
  }
  const plainSeconds = plainSamples.map(median);
  const plainAtReference = plainSeconds[lengths.indexOf(reference)] ?? plainSeconds[0]!;
  return {
    lengths,
    plainSeconds,
    verifyRatios: verifySamples.map((samples) => (samples.length === 0 ? 1 : median(samples) / plainAtReference)),
    draftSeconds: draftSamples.map((samples) => (samples.length === 0 ? 0 : median(samples))),
  };
}

/** Median seconds of a step behind `length` positions. */
async function timeSteps(cache: KvCache, length: number, step: () => Promise<void>): Promise<number> {
  const samples: number[] = [];
  for (let index = 0; index < STEPS_PER_SAMPLE; index += 1) {
    cache.pretendLength(length);
    const start = performance.now();
    await step();
    if (index > 0) samples.push((performance.now() - start) / 1000);
  }
  return median(samples);
}
