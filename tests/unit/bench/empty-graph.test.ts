import * as ort from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { emptyGraph } from '../../../scripts/bench/empty-graph.ts';

const tensor = (name: string, type: 'float32' | 'int64', shape: (number | string)[]) => ({
  name,
  isTensor: true as const,
  type,
  shape,
});

it('has the inputs and outputs of another graph, passes caches on and gives zeros for the rest', async () => {
  const inputs = [tensor('input_ids', 'int64', [1, 'tokens']), tensor('past.0', 'float32', [1, 'length', 2])];
  const outputs = [
    tensor('logits', 'float32', [1, 'tokens', 300]),
    tensor('present.0', 'float32', [1, 'length', 2]),
  ];
  const session = await ort.InferenceSession.create(
    emptyGraph(inputs, outputs, new Map([['present.0', 'past.0']])),
  );
  expect(session.inputMetadata).toEqual(inputs);
  expect(session.outputMetadata.map(({ name }) => name)).toEqual(['logits', 'present.0']);
  const past = new ort.Tensor('float32', [1, 2, 3, 4], [1, 2, 2]);
  const ids = new ort.Tensor('int64', [7n], [1, 1]);
  const { logits, 'present.0': present } = await session.run({ input_ids: ids, 'past.0': past });
  expect(logits!.dims).toEqual([1, 1, 300]);
  expect(logits!.data).toEqual(new Float32Array(300));
  expect(present!.data).toEqual(past.data);
  await session.release();
});
