import { describe, expect, it } from 'vitest';
import type { TensorMetadata } from '../../../src/model/native-session.ts';
import { checkTensors, openSession, type ExpectedTensor } from '../../../src/model/session.ts';

const ids: TensorMetadata = {
  name: 'input_ids',
  isTensor: true,
  type: 'int64',
  shape: ['batch', 'sequence'],
};
const key: TensorMetadata = {
  name: 'past.0.key',
  isTensor: true,
  type: 'float32',
  shape: ['batch', 1, 'past', 64],
};
const expected: readonly ExpectedTensor[] = [
  { name: 'input_ids', type: 'int64', shape: [null, null] },
  { name: 'past.0.key', type: 'float32', shape: [null, 1, null, 64] },
];

const check = (found: readonly TensorMetadata[], kind: 'input' | 'output' = 'input'): void =>
  checkTensors('model.onnx', kind, found, expected);

describe('checkTensors', () => {
  it('accepts what was declared, in any order and with symbolic sizes', () => {
    expect(() => check([key, ids])).not.toThrow();
    expect(() => check([ids, { ...key, shape: ['batch', 'heads', 'past', 'size'] }])).not.toThrow();
  });

  it('accepts any fixed size where none is asked for', () => {
    expect(() => check([{ ...ids, shape: [1, 1] }, key])).not.toThrow();
  });

  it('names a missing tensor, what it should be, and what there is', () => {
    expect(() => check([ids, { ...key, name: 'past_key' }])).toThrow(
      "model.onnx: expected input 'past.0.key' (float32 [?, 1, ?, 64]), the graph has: input_ids, past_key",
    );
  });

  it('refuses what is no tensor', () => {
    expect(() => check([ids, { name: 'past.0.key', isTensor: false }])).toThrow(
      "expected input 'past.0.key'",
    );
  });

  it.each([
    ['type', { ...key, type: 'float16' as const }, 'found float16 [batch, 1, past, 64]'],
    ['fixed size', { ...key, shape: ['batch', 1, 'past', 80] }, 'found float32 [batch, 1, past, 80]'],
    ['rank', { ...key, shape: ['batch', 'past', 64] }, 'found float32 [batch, past, 64]'],
  ])('refuses another %s', (_, found, message) => {
    expect(() => check([ids, found])).toThrow(
      `model.onnx: expected input 'past.0.key' to be float32 [?, 1, ?, 64], ${message}`,
    );
  });

  it('refuses an input it would not feed, but not an output it would not fetch', () => {
    const other: TensorMetadata = { name: 'position_ids', isTensor: true, type: 'int64', shape: [1] };
    expect(() => check([ids, key, other])).toThrow("model.onnx: unexpected input 'position_ids'");
    expect(() => check([ids, key, other], 'output')).not.toThrow();
  });

  it('says with a code that the model is at fault', () => {
    expect(() => check([])).toThrow(
      expect.objectContaining({ code: 'invalid_model', param: 'model.onnx' }) as Error,
    );
  });
});

describe('openSession', () => {
  it.each(['/nowhere/model.onnx', import.meta.filename])('refuses %s, which is no graph', (path) => {
    expect(() => openSession(path, { numThreads: 1 })).toThrow(
      expect.objectContaining({
        code: 'invalid_model',
        param: path,
        message: expect.stringContaining('ONNX Runtime cannot load it') as string,
      }) as Error,
    );
  });
});
