import * as ort from 'onnxruntime-node';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { defaultModelFolder } from '../../src/config.ts';
import { AttentionBias } from '../../src/model/attention-inputs.ts';
import { openSession } from '../../src/model/session.ts';
import { runInto, withMarker } from '../../src/model/uncopied-outputs.ts';

const path = join(defaultModelFolder(), 'mtp.onnx');
const hiddenSize = 320;
const vocabSize = 6144;

const feeds = {
  input_ids: new ort.Tensor('int64', BigInt64Array.of(5n, 6n), [1, 2]),
  position_ids: new ort.Tensor('int64', BigInt64Array.of(0n, 1n), [1, 2]),
  past_lengths: new ort.Tensor('int64', BigInt64Array.of(0n), [1]),
  attention_bias: new AttentionBias(5).tensor(0, 2, 4),
  hidden_states: new ort.Tensor('float32', new Float32Array(2 * hiddenSize).fill(0.5), [1, 2, hiddenSize]),
  'past_key_values.0.key': new ort.Tensor('float32', new Float32Array(4 * 64), [1, 4, 64]),
  'past_key_values.0.value': new ort.Tensor('float32', new Float32Array(4 * 64), [1, 4, 64]),
};

it('fills the same tensors as a run that copies them', async () => {
  const copying = await ort.InferenceSession.create(path);
  const expected = await copying.run(feeds, ['logits']);
  const session = await openSession(path, { numThreads: 1 });
  expect(session.outputNames).toEqual(['foretoken_no_copies', ...copying.outputNames]);
  const logits = new Float32Array(vocabSize);
  const view = logits.subarray();
  await runInto(session, feeds, { logits: new ort.Tensor('float32', view, [1, 1, vocabSize]) });
  expect(view.buffer.byteLength).toBe(4 * vocabSize);
  expect(logits).toEqual(expected['logits']!.data);
});

it('is the one output that the binding refuses to return, after a run that succeeded', async () => {
  const session = await ort.InferenceSession.create(withMarker(readFileSync(path)), {
    extra: { session: { model_external_initializers_file_folder_path: defaultModelFolder() } },
  });
  await expect(session.run(feeds, ['foretoken_no_copies'])).rejects.toThrow(
    /^Non tensor type is temporarily not supported\.$/,
  );
});
