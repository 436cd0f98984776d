import * as ort from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { floats, type Fetches } from '../../../src/model/native-session.ts';
import { runInto } from '../../../src/model/uncopied-outputs.ts';

const owned = floats(new Float32Array(4), [4]);

const session = (outputNames: string[], run: (fetches: Fetches) => Record<string, ort.Tensor>) => ({
  outputMetadata: outputNames.map((name) => ({ name, isTensor: false as const })),
  run: (_: object, fetches: Fetches) => run(fetches),
});
const marked = ['foretoken_no_copies', 'logits'];

it('takes the marker for the end of a run, and no other error', () => {
  const fetched: Fetches[] = [];
  const ended = session(marked, (fetches) => {
    fetched.push(fetches);
    throw new Error('Non tensor type is temporarily not supported.');
  });
  runInto(ended, {}, { logits: owned });
  expect(fetched).toEqual([{ foretoken_no_copies: null, logits: owned }]);
  const failed = session(marked, () => {
    throw new Error('Non-zero status code returned while running Gather node');
  });
  expect(() => runInto(failed, {}, { logits: owned })).toThrow('Gather');
});

it('frees the copies of a graph without the marker', () => {
  const copy = new ort.Tensor('float32', new Float32Array(4), [4]);
  runInto(
    session(['logits'], (fetches) => {
      expect(fetches).toEqual({ logits: owned });
      return { logits: copy };
    }),
    {},
    { logits: owned },
  );
  expect(copy.data.buffer.byteLength).toBe(0);
});
