import * as ort from 'onnxruntime-node';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { defaultModelFolder } from '../../src/config.ts';
import { AttentionBias } from '../../src/model/attention-inputs.ts';
import { floats, integers, NativeSession, type BoundTensor } from '../../src/model/native-session.ts';
import { openSession } from '../../src/model/session.ts';
import { runInto, withMarker } from '../../src/model/uncopied-outputs.ts';

const path = join(defaultModelFolder(), 'mtp.onnx');
const hiddenSize = 320;
const vocabSize = 6144;

const feeds = {
  input_ids: integers(BigInt64Array.of(5n, 6n), [1, 2]),
  position_ids: integers(BigInt64Array.of(0n, 1n), [1, 2]),
  past_lengths: integers(BigInt64Array.of(0n), [1]),
  attention_bias: new AttentionBias(5).tensor(0, 2, 4),
  hidden_states: floats(new Float32Array(2 * hiddenSize).fill(0.5), [1, 2, hiddenSize]),
  'past_key_values.0.key': floats(new Float32Array(4 * 64), [1, 4, 64]),
  'past_key_values.0.value': floats(new Float32Array(4 * 64), [1, 4, 64]),
};
const asPublic = ({ type, data, dims }: BoundTensor): ort.Tensor =>
  new ort.Tensor(type, data as Float32Array, dims);

it("fills what onnxruntime-node's own session returns", async () => {
  const copying = await ort.InferenceSession.create(path);
  const expected = await copying.run(
    Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, asPublic(tensor)])),
    ['logits'],
  );
  const session = await openSession(path, { numThreads: 1 });
  expect(session.inputMetadata).toEqual(copying.inputMetadata);
  expect(session.outputMetadata).toEqual([
    { name: 'foretoken_no_copies', isTensor: false },
    ...copying.outputMetadata,
  ]);
  const logits = new Float32Array(vocabSize);
  runInto(session, feeds, { logits: floats(logits, [1, 1, vocabSize]) });
  expect(logits.buffer.byteLength).toBe(4 * vocabSize);
  expect(logits).toEqual(expected['logits']!.data);
});

it('has the one output that the binding refuses to return, after a run that succeeded', () => {
  const session = new NativeSession(withMarker(readFileSync(path)), {
    extra: { session: { model_external_initializers_file_folder_path: defaultModelFolder() } },
  });
  expect(() => session.run(feeds, { foretoken_no_copies: null })).toThrow(
    /^Non tensor type is temporarily not supported\.$/,
  );
});

it('says what is wrong with a tensor', async () => {
  const session = await openSession(path, { numThreads: 1 });
  const fetches = { logits: floats(new Float32Array(vocabSize), [1, 1, vocabSize]) };
  const short = floats(new Float32Array(hiddenSize), [1, 2, hiddenSize]);
  expect(() => runInto(session, { ...feeds, hidden_states: short }, fetches)).toThrow(
    /not enough space: expected 2560, got 1280/,
  );
  const { hidden_states: _, ...others } = feeds;
  expect(() => runInto(session, others, fetches)).toThrow(/hidden_states/);
});
