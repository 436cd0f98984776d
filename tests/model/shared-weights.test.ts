import { cp, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultModelFolder } from '../../src/config.ts';
import { loadModel } from '../../src/engine/loaded-model.ts';
import { openSession } from '../../src/model/session.ts';
import { WeightOwner } from '../../src/model/shared-weights.ts';
import { graphOf } from '../support/onnx-weights.ts';
import { oneThread } from '../support/real-engine.ts';

const target = join(defaultModelFolder(), 'model.onnx');
const MIB = 1024 * 1024;

/** Bytes of the process that sessions of the target's graph take, and their release. */
function memoryOf(numSessions: number, owner: WeightOwner | null): number {
  const before = process.memoryUsage.rss();
  const sessions = Array.from({ length: numSessions }, () =>
    openSession(target, { numThreads: 1, weights: owner?.weights }),
  );
  const taken = process.memoryUsage.rss() - before;
  for (const session of sessions) session.release();
  return taken;
}

describe('shared weights', () => {
  it('are in memory once, as read and as packed, however many sessions have them', async () => {
    const owner = await WeightOwner.of(defaultModelFolder());
    // 32.6 MB of weights. What one session needs besides them is little.
    const own = memoryOf(6, null);
    const shared = memoryOf(6, owner);
    expect(own).toBeGreaterThan(150 * MIB);
    expect(shared).toBeLessThan(120 * MIB);
    owner.release();
  });

  it('give the same bits as weights that a session reads itself', async () => {
    const owner = await WeightOwner.of(defaultModelFolder());
    const models = [
      await loadModel(defaultModelFolder(), oneThread, { maxSharing: 1 }),
      await loadModel(defaultModelFolder(), oneThread, { maxSharing: 1, weights: owner.weights }),
      await loadModel(defaultModelFolder(), oneThread, { maxSharing: 1, weights: owner.weights }),
    ];
    const outputs = [];
    for (const { target: model, targetCaches, mtp, mtpCaches } of models) {
      const { logits, hiddenStates } = await model.forward(targetCaches.take(64), [5, 900, 3000, 77]);
      const draft = await mtp!.forward(mtpCaches!.take(64), [900, 3000, 77, 4], hiddenStates);
      outputs.push({ logits: logits.slice(), draft: draft.logits.slice() });
    }
    expect(outputs[1]).toEqual(outputs[0]);
    expect(outputs[2]).toEqual(outputs[0]);
    expect(outputs[0]!.logits.some((logit) => logit !== 0)).toBe(true);
    for (const { target: model, mtp } of models) {
      await model.close();
      await mtp!.close();
    }
    owner.release();
  });

  describe('of another folder', () => {
    let outer: string;
    let folder: string;
    beforeEach(async () => {
      outer = await mkdtemp(join(tmpdir(), 'foretoken-weights-'));
      folder = join(outer, 'model');
      await cp(defaultModelFolder(), folder, { recursive: true });
    });
    afterEach(async () => rm(outer, { recursive: true }));

    it.each([
      ['weights.data', 1],
      ['../weights.data', undefined],
      ['/weights.data', undefined],
    ])('take weights in the folder alone, with %s: %s', async (location, expected) => {
      const external = { location: location.replace(/^\//, `${outer}/`) };
      const graph = graphOf([{ name: 'weight', dims: [1], external }]);
      await writeFile(join(folder, 'other.onnx'), graph);
      for (const path of [join(folder, 'weights.data'), join(outer, 'weights.data')])
        await writeFile(path, new Uint8Array(4));
      const owner = await WeightOwner.of(folder);
      expect(owner.weights.graphs[join(folder, 'other.onnx')]?.length).toBe(expected);
      owner.release();
    });

    it.each([
      ['a graph that is none', async () => writeFile(join(folder, 'model.onnx'), 'no graph')],
      ['a graph that ends midway', async () => truncate(join(folder, 'model.onnx'), 100_000)],
      ['weights that end too early', async () => truncate(join(folder, 'model.onnx.data'), 1_000_000)],
      ['weights that are not there', async () => rm(join(folder, 'model.onnx.data'))],
    ])('leave it to ONNX Runtime to refuse %s', async (_, damage) => {
      await damage();
      const owner = await WeightOwner.of(folder);
      const path = join(folder, 'model.onnx');
      expect(() => openSession(path, { numThreads: 1, weights: owner.weights })).toThrow(
        expect.objectContaining({
          code: 'invalid_model',
          message: expect.stringContaining('ONNX Runtime cannot load it') as string,
        }) as Error,
      );
      owner.release();
    });
  });
});
