/** Measures what steps cost at start-up, interleaved, within a time budget. */
import { clippedMean, median } from '../decoding/robust-statistics.ts';
import type { MeasuredBySharing, MeasuredCosts } from '../decoding/step-costs.ts';
import type { KvCache, SharedModels, TargetModel } from '../model/target-model.ts';
import type { LoadedModel } from './loaded-model.ts';
import { NUM_WARM_UP_STEPS } from './plain-step-schedule.ts';
import { LAST_NARROW_WIDTH, verifyRatios } from './verify-ratios.ts';

const BUDGET_SECONDS = 2.2;
/** Of forwards among other workers', where those of who has the machine to itself are measured as well. */
const SECOND_BUDGET_SECONDS = 1.1;
const MIN_REPETITIONS = 3;
const MAX_REPETITIONS = 25;
/** Steps run back to back per sample, as in real decoding, after one that warms the caches and is not counted. */
const STEPS_PER_SAMPLE = 3;
/** Verifies that are timed beside the widest: enough for a line through each kind (verify-ratios.ts). */
const FEW_WIDTHS = [2, 3, 6, LAST_NARROW_WIDTH];
/** Of who runs alone, whose rounds are what all others are compared with. */
const MANY_WIDTHS = [2, 3, 4, 5, 6, 7, 8, LAST_NARROW_WIDTH, 12, 13, 16];
/** Where the cost of width is measured; it is scaled from there. */
const REFERENCE_LENGTH = 256;
/** Of passes that several sequences share, each number of sequences by itself. */
const SHARED_BUDGET_SECONDS = 0.5;

export async function calibrate(model: LoadedModel): Promise<MeasuredBySharing> {
  const { target, solo } = model;
  const thorough = async (of: TargetModel): Promise<MeasuredCosts> =>
    calibrateAlone(model, of, MANY_WIDTHS, BUDGET_SECONDS);
  const alone =
    solo === null
      ? await thorough(target)
      : await calibrateAlone(model, target, FEW_WIDTHS, SECOND_BUDGET_SECONDS);
  const bySharing = new Map([[1, alone]]);
  for (const shared of model.shared)
    bySharing.set(shared.target.numSequences, await calibrateShared(model, shared, alone));
  return { bySharing, solo: solo === null ? null : await thorough(solo.target) };
}

const upTo = (maxWidth: number, widths: readonly number[]): number[] => [
  ...widths.filter((width) => width < maxWidth),
  maxWidth,
];

async function calibrateAlone(
  model: LoadedModel,
  target: TargetModel,
  timedWidths: readonly number[],
  budgetSeconds: number,
): Promise<MeasuredCosts> {
  const { mtp, manifest, targetCaches } = model;
  const { maxSpecTokens } = manifest;
  // At least two widths, for a model without an MTP module too: decoding without speculation may have to be two wide.
  const maxWidth = Math.max(3, maxSpecTokens + 1);
  const last = manifest.contextLength - maxWidth;
  const lengths = [...new Set([16, REFERENCE_LENGTH, 1024, last].filter((length) => length <= last))];
  const reference = Math.max(0, lengths.indexOf(REFERENCE_LENGTH));
  // Each as long as a sequence of that length would have it.
  const caches = lengths.map((length) => targetCaches.take(length + maxWidth));
  const mtpCache = model.mtpCaches?.take(lengths[reference]! + 1) ?? null;
  const state = new Float32Array(manifest.hiddenSize).fill(0.1);
  const plainSamples = lengths.map((): number[] => []);
  const verifySamples = Array.from({ length: maxWidth + 1 }, (): number[] => []);
  const widths = upTo(maxWidth, timedWidths);
  const chainSamples: number[] = [];
  const start = performance.now();
  for (let repetition = 0; repetition < MAX_REPETITIONS; repetition += 1) {
    if (repetition >= MIN_REPETITIONS && performance.now() - start > budgetSeconds * 1000) break;
    const draft = async (): Promise<unknown> => mtp?.forward(mtpCache!, [1], state);
    // Verifies and drafts slow each other down: each is timed right after the other, as they come in rounds.
    for (const width of widths) {
      const tokenIds = Array.from({ length: width }, (_, index) => index);
      const verify = async (): Promise<unknown> => target.forward(caches[reference]!, tokenIds);
      for (let round = 0; round < 1 + STEPS_PER_SAMPLE; round += 1) {
        const drafting =
          mtpCache === null ? [] : await timeSteps([mtpCache], lengths[reference]!, draft, 0, 2);
        const verifying = await timeSteps([caches[reference]!], lengths[reference]!, verify, 0, 1);
        if (round === 0) continue;
        chainSamples.push(...drafting);
        verifySamples[width]!.push(...verifying);
      }
    }
    for (const [index, length] of lengths.entries()) {
      const step = async (): Promise<unknown> => target.forwardAtWidth(caches[index]!, [1]);
      // Right after wider forwards plain steps are slower.
      const numWarmUpSteps = index === 0 ? NUM_WARM_UP_STEPS : 1;
      plainSamples[index]!.push(...(await timeSteps([caches[index]!], length, step, numWarmUpSteps)));
    }
  }
  for (const cache of caches) targetCaches.giveBack(cache);
  if (mtpCache !== null) model.mtpCaches?.giveBack(mtpCache);
  const plainSeconds = plainSamples.map(clippedMean);
  const chainSeconds = chainSamples.length === 0 ? 0 : clippedMean(chainSamples);
  return {
    lengths,
    plainSeconds,
    verifyRatios: verifyRatios(
      widths,
      widths.map((width) => median(verifySamples[width]!) / plainSeconds[reference]!),
      model.widths,
    ),
    draftSeconds: Array.from(
      { length: maxSpecTokens + 1 },
      (_, numDraftTokens) => numDraftTokens * chainSeconds,
    ),
  };
}

/** What one of the sequences costs; all of them are equally wide here. */
async function calibrateShared(
  model: LoadedModel,
  { target, mtp }: SharedModels,
  alone: MeasuredCosts,
): Promise<MeasuredCosts> {
  const { manifest, targetCaches, mtpCaches } = model;
  const { numSequences } = target;
  const maxWidth = alone.verifyRatios.length - 1;
  const reference = Math.max(0, alone.lengths.indexOf(REFERENCE_LENGTH));
  const length = alone.lengths[reference]!;
  const each = <Item>(make: () => Item): Item[] => Array.from({ length: numSequences }, make);
  const caches = each(() => targetCaches.take(length + maxWidth));
  const draftCaches = mtp === null ? [] : each(() => mtpCaches!.take(length + 1));
  const hiddenStates = new Float32Array(manifest.hiddenSize).fill(0.1);
  // The plain step last, so that the others do not slow it.
  const widths = [...upTo(maxWidth, FEW_WIDTHS), 1];
  const samples = widths.map((): number[] => []);
  const chainSamples: number[] = [];
  const start = performance.now();
  for (let repetition = 0; repetition < MAX_REPETITIONS; repetition += 1) {
    if (repetition >= MIN_REPETITIONS && performance.now() - start > SHARED_BUDGET_SECONDS * 1000) break;
    for (const [index, width] of widths.entries()) {
      const tokenIds = Array.from({ length: width }, (_, tokenId) => tokenId);
      const parts = caches.map((cache) => ({ cache, tokenIds }));
      const timed =
        width === 1
          ? await timeSteps(caches, length, async () => target.forwardAtWidth(parts), NUM_WARM_UP_STEPS)
          : await timeSteps(caches, length, async () => target.forward(parts), 1, 1);
      samples[index]!.push(...timed);
    }
    if (mtp !== null) {
      const parts = draftCaches.map((cache) => ({ cache, tokenIds: [1], hiddenStates }));
      chainSamples.push(...(await timeSteps(draftCaches, length, async () => mtp.forward(parts))));
    }
  }
  for (const cache of caches) targetCaches.giveBack(cache);
  for (const cache of draftCaches) mtpCaches!.giveBack(cache);
  const plain = clippedMean(samples.at(-1)!) / numSequences;
  const chainSeconds = chainSamples.length === 0 ? 0 : clippedMean(chainSamples) / numSequences;
  // Attention is not shared: what a longer context adds is the same. Nothing is cheaper than half of the shared step.
  const saved = alone.plainSeconds[reference]! - plain;
  return {
    lengths: alone.lengths,
    plainSeconds: alone.plainSeconds.map((taken) => Math.max(taken - saved, plain / 2)),
    verifyRatios: verifyRatios(
      widths.slice(0, -1),
      samples.slice(0, -1).map((taken) => median(taken) / numSequences / plain),
      model.widths,
    ),
    draftSeconds: alone.draftSeconds.map((_, numDraftTokens) => numDraftTokens * chainSeconds),
  };
}

/** Seconds of steps behind `length` positions. */
async function timeSteps(
  caches: readonly KvCache[],
  length: number,
  step: () => Promise<unknown>,
  numWarmUpSteps = 1,
  numTimedSteps = STEPS_PER_SAMPLE,
): Promise<number[]> {
  const samples: number[] = [];
  for (let index = 0; index < numWarmUpSteps + numTimedSteps; index += 1) {
    for (const cache of caches) cache.pretendLength(length);
    const start = performance.now();
    await step();
    if (index >= numWarmUpSteps) samples.push((performance.now() - start) / 1000);
  }
  return samples;
}
