/**
 * Whether this machine's kernels keep a row's result independent of how many rows are computed with it. The promise
 * that speculation never changes the text rests on it, and it differs between kernels: with 8-bit blocks of 128, for
 * one, the last row of an odd number rounds otherwise.
 */
import type { OnnxTargetModel } from './onnx-target-model.ts';
import type { ExactWidths, KvCachePool, SharedTarget, TargetModel, TargetOutput } from './target-model.ts';

/** Narrow forwards end before the caches are bound longer (LENGTH_STEP of onnx-kv-cache.ts), wide ones behind that. */
const CONTEXT_LENGTH = 59;
/** A model that drafts nothing or little is checked up to here. */
const LEAST_CHECKED_WIDTH = 9;

/** Null where the logits depend on the width of a forward that decides up to `mostDecided` tokens. */
export async function exactWidths(
  target: OnnxTargetModel,
  caches: KvCachePool,
  mostDecided: number,
): Promise<ExactWidths | null> {
  const maxWidth = Math.max(LEAST_CHECKED_WIDTH, mostDecided);
  const numTokens = CONTEXT_LENGTH + 2 * maxWidth;
  const tokenIds = Array.from({ length: numTokens }, (_, index) => (index * 7919 + 13) % target.vocabSize);
  const cache = caches.take(numTokens);
  const context = tokenIds.slice(0, CONTEXT_LENGTH + 1);
  const tested = tokenIds.slice(context.length);
  const logitsAtWidth = async (width: number): Promise<Float32Array> => {
    cache.rewindTo(context.length);
    const { logits } = await target.forwardAtWidth(cache, tested.slice(0, width));
    return logits.slice();
  };
  try {
    await target.forwardAtWidth(cache, context);
    const reference = await logitsAtWidth(maxWidth + 1);
    const differing: number[] = [];
    for (let width = 1; width <= maxWidth; width += 1) {
      const logits = await logitsAtWidth(width);
      if (!isSame(logits, reference)) differing.push(width);
    }
    if (differing.length === 0) return { least: 1, multiple: 1 };
    if (differing.every((width) => width === 1)) return { least: 2, multiple: 1 };
    return differing.every((width) => width % 2 === 1) ? { least: 2, multiple: 2 } : null;
  } finally {
    caches.giveBack(cache);
  }
}

/** Whether two sessions of the same weights, with threads of their own number, give the same bits at every width. */
export async function isSoloExact(
  solo: TargetModel,
  target: TargetModel,
  caches: KvCachePool,
): Promise<boolean> {
  const numTokens = CONTEXT_LENGTH + target.maxWidth;
  const tokenIds = Array.from({ length: numTokens }, (_, index) => (index * 7919 + 29) % target.vocabSize);
  const sides = [solo, target].map((model) => ({ model, cache: caches.take(numTokens + 1) }));
  const narrow = Array.from({ length: LEAST_CHECKED_WIDTH }, (_, index) => index + 1);
  try {
    for (const { model, cache } of sides) await model.forward(cache, tokenIds.slice(0, CONTEXT_LENGTH));
    for (const width of [...narrow, target.maxWidth]) {
      const asked = tokenIds.slice(CONTEXT_LENGTH, CONTEXT_LENGTH + width);
      const outputs: TargetOutput[] = [];
      for (const { model, cache } of sides) {
        cache.rewindTo(CONTEXT_LENGTH);
        outputs.push(await model.forward(cache, asked));
      }
      const [one, other] = outputs;
      if (!isSame(one!.logits, other!.logits) || !isSame(one!.hiddenStates, other!.hiddenStates))
        return false;
    }
    return true;
  } finally {
    for (const { cache } of sides) caches.giveBack(cache);
  }
}

const isSame = (some: Float32Array, others: Float32Array): boolean =>
  some.every((value, index) => Object.is(value, others[index]));

/** Whether sequences of different lengths and widths get from a shared pass the bits that each gets alone. */
export async function isSharedPassExact(
  shared: SharedTarget,
  target: TargetModel,
  caches: KvCachePool,
): Promise<boolean> {
  const { numSequences } = shared;
  const sequences = Array.from({ length: numSequences }, (_, sequence) => {
    const numTokens = CONTEXT_LENGTH - 5 * (sequence % 4) + sequence;
    const context = Array.from(
      { length: numTokens },
      (__, index) => (index * 7919 + sequence) % target.vocabSize,
    );
    return { cache: caches.take(numTokens + shared.maxWidth), context };
  });
  try {
    for (const { cache, context } of sequences) await target.forward(cache, context);
    for (const shift of [0, 3]) {
      const parts = sequences.map(({ cache, context }, sequence) => ({
        cache,
        tokenIds: context.slice(0, 1 + ((sequence + shift) % Math.min(6, shared.maxWidth))),
      }));
      const rewind = (): void => {
        for (const { cache, context } of sequences) cache.rewindTo(context.length);
      };
      const outputs = await shared.forward(parts);
      rewind();
      for (const [index, { cache, tokenIds }] of parts.entries()) {
        const { logits } = await target.forward(cache, tokenIds);
        if (!isSame(logits, outputs[index]!.logits)) return false;
      }
      rewind();
    }
    return true;
  } finally {
    for (const { cache } of sequences) caches.giveBack(cache);
  }
}
