import * as ort from 'onnxruntime-node';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultModelFolder } from '../../src/config.ts';
import { AttentionBias } from '../../src/model/attention-inputs.ts';
import type {
  BoundTensor,
  BoundTensors,
  NativeBinding,
  NativeSession,
} from '../../src/model/native-session.ts';
import { openSession } from '../../src/model/session.ts';

const path = join(defaultModelFolder(), 'mtp.onnx');
const hiddenSize = 320;
const vocabSize = 6144;

const inputsOf = (numTokens: number): BoundTensors => ({
  input_ids: { data: new BigInt64Array(numTokens).fill(5n), dims: [1, numTokens] },
  position_ids: {
    data: BigInt64Array.from({ length: numTokens }, (_, index) => BigInt(index)),
    dims: [1, numTokens],
  },
  past_lengths: { data: BigInt64Array.of(0n), dims: [1] },
  attention_bias: new AttentionBias(5).tensor(0, numTokens, 4),
  hidden_states: {
    data: new Float32Array(numTokens * hiddenSize).fill(0.5),
    dims: [1, numTokens, hiddenSize],
  },
});
const sides = ['key', 'value'] as const;
const newCaches = (): Record<(typeof sides)[number], BoundTensor> => ({
  key: { data: new Float32Array(4 * 64), dims: [1, 4, 64] },
  value: { data: new Float32Array(4 * 64), dims: [1, 4, 64] },
});
const logitsInto = (data: Float32Array): BoundTensors => ({ logits: { data, dims: [1, 1, vocabSize] } });

describe('a session', () => {
  let session: NativeSession;
  let published: ort.InferenceSession;
  /** What bindings point to must stay. */
  const kept: unknown[] = [];
  beforeAll(async () => {
    session = openSession(path, { numThreads: 1 });
    // It would say of every run that it copies the caches.
    published = await ort.InferenceSession.create(path, { logSeverityLevel: 3 });
  });
  afterAll(async () => {
    session.release();
    await published.release();
  });

  /** With caches of its own, appended to in place. */
  function newBinding(caches = newCaches()): NativeBinding {
    const binding = session.newBinding();
    kept.push(caches);
    for (const side of sides)
      binding.bind(caches[side], { input: `past_key_values.0.${side}`, output: `present.0.${side}` });
    return binding;
  }

  /** By onnxruntime-node's own session, from empty caches. */
  async function expected(inputs: BoundTensors): Promise<Record<string, ort.Tensor>> {
    const caches = newCaches();
    const asPublic = ({ data, dims }: BoundTensor): ort.Tensor =>
      data instanceof Float32Array
        ? new ort.Tensor('float32', data.slice(), dims)
        : new ort.Tensor('int64', data.slice(), dims);
    const all = {
      ...inputs,
      'past_key_values.0.key': caches.key,
      'past_key_values.0.value': caches.value,
    };
    return await published.run(
      Object.fromEntries(Object.entries(all).map(([name, tensor]) => [name, asPublic(tensor)])),
    );
  }

  it('has the inputs and outputs that onnxruntime-node tells of', () => {
    expect(session.inputMetadata).toEqual(published.inputMetadata);
    expect(session.outputMetadata).toEqual(published.outputMetadata);
  });

  it("fills the caller's memory with the bits that onnxruntime-node returns, at one width after the other", async () => {
    const binding = newBinding();
    for (const numTokens of [2, 1, 3, 2]) {
      const inputs = inputsOf(numTokens);
      const logits = new Float32Array(vocabSize);
      binding.run(inputs, logitsInto(logits));
      expect(logits).toEqual((await expected(inputs))['logits']!.data);
    }
  });

  it('appends to a cache that is bound as past and as present', async () => {
    const caches = newCaches();
    const inputs = inputsOf(2);
    newBinding(caches).run(inputs, logitsInto(new Float32Array(vocabSize)));
    const returned = await expected(inputs);
    for (const side of sides) {
      const data = caches[side].data as Float32Array;
      expect(data).toEqual(returned[`present.0.${side}`]!.data);
      expect(data.some((value) => value !== 0)).toBe(true);
    }
  });

  it('reads what small tensors hold at the time of each run, wherever the collector moves things', async () => {
    const binding = newBinding();
    const inputs = inputsOf(1);
    const logits = new Float32Array(vocabSize);
    const outputs = logitsInto(logits);
    for (const tokenId of [5n, 900n, 6000n]) {
      inputs['input_ids']!.data[0] = tokenId;
      let garbage: unknown[] = [];
      for (let round = 0; round < 20; round += 1)
        garbage = Array.from({ length: 100_000 }, () => ({ round }));
      expect(garbage.length).toBe(100_000);
      await sleep(1);
      binding.run(inputs, outputs);
      expect(logits).toEqual((await expected(inputs))['logits']!.data);
    }
  });

  it('says what is wrong with a tensor, and goes on', async () => {
    const binding = newBinding();
    const inputs = inputsOf(2);
    const logits = new Float32Array(vocabSize);
    const short = { data: new Float32Array(hiddenSize), dims: [1, 2, hiddenSize] };
    expect(() => binding.run({ ...inputs, hidden_states: short }, logitsInto(logits))).toThrow(
      /not enough space: expected 2560, got 1280/,
    );
    const { hidden_states: _, ...others } = inputs;
    expect(() => binding.run(others, logitsInto(logits))).toThrow(/hidden_states/);
    binding.run(inputs, logitsInto(logits));
    expect(logits).toEqual((await expected(inputs))['logits']!.data);
    const unknown = inputs['hidden_states']!;
    expect(() => binding.run({ ...inputs, unknown }, logitsInto(logits))).toThrow(/unknown/);
  });
});
