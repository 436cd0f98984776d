/** What a graph says of the weights that it keeps in files of their own (onnx.proto; ONNX's "External Data"). */
import { PbfReader } from 'pbf';

export interface ExternalInitializer {
  readonly name: string;
  /** onnx.proto: TensorProto.DataType. */
  readonly elementType: number;
  readonly dims: readonly number[];
  /** Relative to the graph's folder. */
  readonly location: string;
  readonly offset: number;
  /** Absent: to the end of the file. */
  readonly byteLength?: number;
}

/** Numbers of onnx.proto's fields. */
const MODEL_GRAPH = 7;
const GRAPH_INITIALIZER = 5;
const TENSOR = { dims: 1, dataType: 2, name: 8, externalData: 13 };
const ENTRY = { key: 1, value: 2 };
/** Protocol Buffers: a field of several values in one. */
const LENGTH_DELIMITED = 2;

interface Tensor {
  dims: number[];
  dataType: number;
  name: string;
  readonly externalData: Record<string, string>;
}

function readTensor(field: number, tensor: Tensor, reader: PbfReader): void {
  if (field === TENSOR.dims) {
    if (reader.type === LENGTH_DELIMITED) reader.readPackedVarint(tensor.dims);
    else tensor.dims.push(reader.readVarint());
  } else if (field === TENSOR.dataType) {
    tensor.dataType = reader.readVarint();
  } else if (field === TENSOR.name) {
    tensor.name = reader.readString();
  } else if (field === TENSOR.externalData) {
    const { key, value } = reader.readMessage(readEntry, { key: '', value: '' });
    tensor.externalData[key] = value;
  }
}

function readEntry(field: number, entry: { key: string; value: string }, reader: PbfReader): void {
  if (field === ENTRY.key) entry.key = reader.readString();
  else if (field === ENTRY.value) entry.value = reader.readString();
}

function asExternal({ name, dataType, dims, externalData }: Tensor): ExternalInitializer[] {
  const { location, offset = '0', length } = externalData;
  if (location === undefined) return [];
  const known = { name, elementType: dataType, dims, location, offset: Number(offset) };
  return [length === undefined ? known : { ...known, byteLength: Number(length) }];
}

/** Of a file's bytes. Throws what the reader throws of bytes that are no message. */
export function externalInitializers(graph: Uint8Array): ExternalInitializer[] {
  const tensors: Tensor[] = [];
  new PbfReader(graph).readFields((modelField, _, model) => {
    if (modelField !== MODEL_GRAPH) return;
    model.readMessage((graphField, __, reader) => {
      if (graphField !== GRAPH_INITIALIZER) return;
      tensors.push(reader.readMessage(readTensor, { dims: [], dataType: 0, name: '', externalData: {} }));
    }, null);
  }, null);
  return tensors.flatMap(asExternal);
}
