import * as ort from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { floats } from '../../../src/model/native-session.ts';
import { releaseCopies } from '../../../src/model/release-copies.ts';

const tensor = (data: Float32Array): ort.Tensor => new ort.Tensor('float32', data, [data.length]);
const bound = ({ data, dims }: ort.Tensor) => floats(data as Float32Array, dims);

test('frees what was returned as a copy, and nothing that the caller owns', () => {
  const owned = tensor(new Float32Array(8).fill(1));
  const copy = tensor(new Float32Array(8).fill(1));
  const unasked = tensor(new Float32Array(4));
  releaseCopies(
    { copied: copy, same: owned, unasked, twice: copy },
    {
      copied: bound(owned),
      same: bound(owned),
    },
  );
  expect((copy.data as Float32Array).buffer.byteLength).toBe(0);
  expect((unasked.data as Float32Array).buffer.byteLength).toBe(0);
  expect([...(owned.data as Float32Array)]).toEqual(Array(8).fill(1));
});

test('leaves memory alone that was returned in another tensor', () => {
  const owned = new Float32Array(8).fill(2);
  releaseCopies({ out: tensor(owned.subarray(0, 4)) }, { out: floats(owned, [8]) });
  expect(owned[7]).toBe(2);
});
