/**
 * A graph with another's inputs and outputs that computes nothing, so that what a call takes by itself can be timed
 * without a profiler. Knows nothing of models.
 */
import type { TensorMetadata } from '../../src/model/native-session.ts';

/** onnx.proto: TensorProto.DataType. */
const ELEMENT_TYPES: Readonly<Record<string, number>> = { float32: 1, int64: 7 };
const IR_VERSION = 10;
const OPSET_VERSION = 21;

const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
const integer = (number: number, value: number): Buffer =>
  Buffer.from([...varint(number * 8), ...varint(value)]);
const field = (number: number, content: string | readonly Uint8Array[]): Buffer => {
  const bytes = typeof content === 'string' ? Buffer.from(content) : Buffer.concat(content);
  return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes]);
};

/** ValueInfoProto.name 1, type 2; TypeProto.tensor_type 1, its elem_type 1, shape 2; a dimension's value 1 or name 2. */
function valueInfo(value: TensorMetadata): Buffer[] {
  if (!value.isTensor) throw new Error(`${value.name}: expected a tensor`);
  const element = ELEMENT_TYPES[value.type];
  if (element === undefined) throw new Error(`${value.name}: expected float32 or int64, got ${value.type}`);
  const sizes = value.shape.map((size) =>
    field(1, [typeof size === 'number' ? integer(1, size) : field(2, size)]),
  );
  return [field(1, value.name), field(2, [field(1, [integer(1, element), field(2, sizes)])])];
}

/** NodeProto.input 1, output 2, op_type 4. */
const node = (operator: string, inputs: readonly string[], output: string): Buffer =>
  field(1, [...inputs.map((input) => field(1, input)), field(2, output), field(4, operator)]);

/** GraphProto.initializer 5; TensorProto.dims 1, data_type 2, name 8, raw_data 9. */
const initializer = (name: string, sizes: readonly number[], element: number, data: Uint8Array): Buffer =>
  field(5, [...sizes.map((size) => integer(1, size)), integer(2, element), field(8, name), field(9, [data])]);

/**
 * The serialised ONNX model. Outputs that `passed` names are the input named there, and cost nothing where both are bound to
 * the same memory; the others are zeros, of size 1 in every dimension that the graph leaves open.
 */
export function emptyGraph(
  inputs: readonly TensorMetadata[],
  outputs: readonly TensorMetadata[],
  passed: ReadonlyMap<string, string>,
): Uint8Array {
  const tensors = outputs.filter((output) => output.isTensor);
  const nodes = tensors.flatMap(({ name, shape }) => {
    const input = passed.get(name);
    if (input !== undefined) return [node('Identity', [input], name)];
    const sizes = BigInt64Array.from(shape, (size) => BigInt(typeof size === 'number' ? size : 1));
    return [
      initializer(`${name}.shape`, [sizes.length], ELEMENT_TYPES['int64']!, new Uint8Array(sizes.buffer)),
      node('Expand', ['zero', `${name}.shape`], name),
    ];
  });
  const graph = field(7, [
    field(2, 'empty'),
    initializer('zero', [], ELEMENT_TYPES['float32']!, new Uint8Array(4)),
    ...nodes,
    ...inputs.map((input) => field(11, valueInfo(input))),
    ...tensors.map((output) => field(12, valueInfo(output))),
  ]);
  return Buffer.concat([integer(1, IR_VERSION), graph, field(8, [field(1, ''), integer(2, OPSET_VERSION)])]);
}
