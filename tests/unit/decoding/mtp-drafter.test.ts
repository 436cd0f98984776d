import { describe, expect, it } from 'vitest';
import { MtpDrafter } from '../../../src/decoding/mtp-drafter.ts';
import { argmax } from '../../support/sampling.ts';
import {
  extendHash,
  hashOf,
  HIDDEN_SIZE,
  ScriptedCache,
  scriptedLogits,
  ScriptedMtp,
} from '../../support/scripted-model.ts';

const text = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3];

/** The target's states before the tokens `from` to `to` of the text. */
function statesBefore(from: number, to: number): Float32Array {
  const rows = Array.from({ length: to - from }, (_, index) => [
    hashOf(text.slice(0, from + index)),
    from + index - 1,
  ]);
  return Float32Array.from(rows.flat());
}

/** The first token of a text has no state before it. */
const observe = (drafter: MtpDrafter, from: number, to: number): Promise<void> =>
  drafter.observe(text.slice(from, to), statesBefore(from, to));

function newDrafter(capacity = 64, maxWidth = 4): { drafter: MtpDrafter; cache: ScriptedCache } {
  const cache = new ScriptedCache(capacity);
  return { drafter: new MtpDrafter(new ScriptedMtp(() => true, maxWidth), cache, HIDDEN_SIZE), cache };
}

/** Asked after every draft, the first included. */
function upTo(numDraftTokens: number): () => boolean {
  let numDrafted = 0;
  return () => (numDrafted += 1) < numDraftTokens;
}

/** What the target would choose greedily after the text's first `length` tokens. */
function continuation(length: number, numTokens: number): number[] {
  let hash = hashOf(text.slice(0, length));
  return Array.from({ length: numTokens }, () => {
    const tokenId = argmax(scriptedLogits(hash));
    hash = extendHash(hash, tokenId);
    return tokenId;
  });
}

describe('MtpDrafter', () => {
  it('drafts on from the last verified token, and forgets its drafts', async () => {
    const { drafter, cache } = newDrafter();
    await observe(drafter, 1, 4);
    expect(await drafter.draft(upTo(3), argmax)).toEqual(continuation(4, 3));
    expect(cache.length).toBe(3);
    await observe(drafter, 4, 6);
    expect(await drafter.draft(upTo(2), argmax)).toEqual(continuation(6, 2));
    expect(cache.length).toBe(5);
  });

  it('puts what it kept back into its cache when it is flushed, and drafts on from there', async () => {
    const { drafter, cache } = newDrafter();
    await drafter.flush();
    expect(cache.length).toBe(0);
    await observe(drafter, 1, 4);
    await drafter.flush();
    expect(cache.tokenIds).toEqual(text.slice(1, 4));
    await observe(drafter, 4, 6);
    const drafts = await drafter.draft(() => false, argmax);
    expect(drafts).toEqual(continuation(6, 1));
  });

  it('tells which draft it asks for', async () => {
    const { drafter } = newDrafter();
    await observe(drafter, 1, 2);
    const indexes: number[] = [];
    const drafts = await drafter.draft(upTo(4), (_, index) => indexes.push(index));
    expect(indexes).toEqual([0, 1, 2, 3]);
    expect(drafts).toEqual([1, 2, 3, 4]);
  });

  it('does not run before a draft is wanted, as long as it can keep the states', async () => {
    const { drafter, cache } = newDrafter(64, 2);
    await observe(drafter, 1, 9);
    expect(cache.length).toBe(0);
    await observe(drafter, 9, 10);
    expect(cache.tokenIds).toEqual(text.slice(1, 9));
  });

  it('drafts the same however its tokens were observed', async () => {
    for (const cuts of [[12], [2, 12], [5, 6, 12], [4, 8, 12], [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]) {
      const { drafter } = newDrafter();
      let from = 1;
      for (const to of cuts) {
        await observe(drafter, from, to);
        from = to;
      }
      expect(await drafter.draft(upTo(3), argmax)).toEqual(continuation(12, 3));
    }
  });

  it('copies the states, whose memory the next forward overwrites', async () => {
    const { drafter } = newDrafter();
    const states = statesBefore(1, 4);
    await drafter.observe(text.slice(1, 4), states);
    states.fill(0);
    expect(await drafter.draft(upTo(1), argmax)).toEqual(continuation(4, 1));
  });

  it('drafts fewer where the cache is full', async () => {
    const { drafter, cache } = newDrafter(5);
    await observe(drafter, 1, 4);
    expect(await drafter.draft(upTo(8), argmax)).toEqual(continuation(4, 3));
    expect(cache.length).toBe(3);
  });

  it('has nothing to draft from without a verified token', async () => {
    await expect(newDrafter().drafter.draft(upTo(1), argmax)).rejects.toThrow('expected a verified token');
  });
});
