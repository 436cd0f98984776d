import * as ort from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { runInto } from '../../../src/model/uncopied-outputs.ts';

type Run = ort.InferenceSession['run'];
const owned = new ort.Tensor('float32', new Float32Array(4), [4]);

const session = (outputNames: string[], run: (fetches: object) => Promise<object>) => ({
  outputNames,
  run: (async (_: object, fetches: object) => run(fetches)) as Run,
});
const marked = ['foretoken_no_copies', 'logits'];

it('takes the marker for the end of a run, and no other error', async () => {
  const fetched: object[] = [];
  const ended = session(marked, async (fetches) => {
    fetched.push(fetches);
    throw new Error('Non tensor type is temporarily not supported.');
  });
  await runInto(ended, {}, { logits: owned });
  expect(fetched).toEqual([{ foretoken_no_copies: null, logits: owned }]);
  const failed = session(marked, async () => {
    throw new Error('Non-zero status code returned while running Gather node');
  });
  await expect(runInto(failed, {}, { logits: owned })).rejects.toThrow('Gather');
});

it('frees the copies of a graph without the marker', async () => {
  const copy = new ort.Tensor('float32', new Float32Array(4), [4]);
  await runInto(
    session(['logits'], async (fetches) => {
      expect(fetches).toEqual({ logits: owned });
      return { logits: copy };
    }),
    {},
    { logits: owned },
  );
  expect(copy.data.buffer.byteLength).toBe(0);
});
