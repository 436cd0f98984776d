import { PbfWriter } from 'pbf';
import { describe, expect, it } from 'vitest';
import { externalInitializers } from '../../../src/model/external-initializers.ts';

interface Tensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly areDimsPacked?: boolean;
  readonly external?: Readonly<Record<string, string>>;
  readonly raw?: Uint8Array;
}

function writeTensor({ name, dims, areDimsPacked, external, raw }: Tensor, writer: PbfWriter): void {
  if (areDimsPacked === true) writer.writePackedVarint(1, [...dims]);
  else for (const size of dims) writer.writeVarintField(1, size);
  writer.writeVarintField(2, 3);
  writer.writeStringField(8, name);
  if (raw !== undefined) writer.writeBytesField(9, raw);
  for (const entry of Object.entries(external ?? {}))
    writer.writeMessage(
      13,
      ([key, value], part) => {
        part.writeStringField(1, key);
        part.writeStringField(2, value);
      },
      entry,
    );
}

/** An onnx.proto ModelProto with what else a file has around its initialisers. */
function model(tensors: readonly Tensor[]): Uint8Array {
  const writer = new PbfWriter();
  writer.writeVarintField(1, 10);
  writer.writeStringField(2, 'a producer');
  writer.writeMessage(
    7,
    (_, graph) => {
      graph.writeStringField(2, 'a graph');
      for (const tensor of tensors) graph.writeMessage(5, writeTensor, tensor);
    },
    null,
  );
  return writer.finish();
}

describe('externalInitializers', () => {
  it('reads where weights lie, and of what type and size they are', () => {
    const external = { location: 'weights.data', offset: '4096', length: '600' };
    const tensor = { name: 'head', dims: [300, 2], external };
    const expected = {
      name: 'head',
      elementType: 3,
      dims: [300, 2],
      location: 'weights.data',
      offset: 4096,
      byteLength: 600,
    };
    expect(externalInitializers(model([tensor]))).toEqual([expected]);
    expect(externalInitializers(model([{ ...tensor, areDimsPacked: true }]))).toEqual([expected]);
  });

  it('takes the whole file where neither offset nor length is told', () => {
    const [found] = externalInitializers(model([{ name: 'all', dims: [7], external: { location: 'all' } }]));
    expect(found).toEqual({ name: 'all', elementType: 3, dims: [7], location: 'all', offset: 0 });
  });

  it('leaves out what the graph holds itself', () => {
    const inline = { name: 'inline', dims: [3], raw: Uint8Array.of(1, 2, 3) };
    const outside = { name: 'outside', dims: [3], external: { location: 'a' } };
    expect(externalInitializers(model([inline, outside])).map(({ name }) => name)).toEqual(['outside']);
  });
});
