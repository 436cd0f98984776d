/**
 * An ONNX Runtime session whose runs are plain calls. The `run` of onnxruntime-node checks all tensors, waits for the next
 * turn of the event loop and makes promises, and its tensors answer the binding through getters; a fifth of a draft's
 * time went there (docs/log.md). So this is the binding itself, which is in that package, of the one version that
 * package.json admits. A run blocks its thread; who calls it lets messages in. Knows nothing of what the graphs are.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { binding, initOrt, type Binding } from 'onnxruntime-node/dist/binding.js';

/** A tensor as the binding reads it, in memory that the caller keeps. */
export interface BoundTensor<Data extends Float32Array | BigInt64Array = Float32Array | BigInt64Array> {
  readonly type: Data extends Float32Array ? 'float32' : 'int64';
  readonly dims: readonly number[];
  readonly location: 'cpu';
  readonly data: Data;
}

export const floats = (data: Float32Array, dims: readonly number[]): BoundTensor<Float32Array> => ({
  type: 'float32',
  dims,
  location: 'cpu',
  data,
});

export const integers = (data: BigInt64Array, dims: readonly number[]): BoundTensor<BigInt64Array> => ({
  type: 'int64',
  dims,
  location: 'cpu',
  data,
});

/** By name. */
export type Feeds = Record<string, BoundTensor>;
/** By name: the tensor to fill, or null for a new one. */
export type Fetches = Record<string, BoundTensor | null>;

/** By onnx.proto's TensorProto.DataType. */
const ELEMENT_TYPES: Readonly<Record<number, Tensor.Type>> = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  4: 'uint16',
  5: 'int16',
  6: 'int32',
  7: 'int64',
  8: 'string',
  9: 'bool',
  10: 'float16',
  11: 'float64',
  12: 'uint32',
  13: 'uint64',
  21: 'uint4',
  22: 'int4',
};

/** As onnxruntime-node gives it: sizes that the graph leaves open by their names. Throws for types that it does not know. */
function metadataOf(value: Binding.ValueMetadata): InferenceSession.ValueMetadata {
  const { name, isTensor } = value;
  if (!isTensor) return { name, isTensor };
  const type = ELEMENT_TYPES[value.type];
  if (type === undefined) throw new Error(`${name}: unsupported element type ${value.type}`);
  const shape = value.shape.map((size, axis) => (size === -1 ? value.symbolicDimensions[axis]! : size));
  return { name, isTensor, type, shape };
}

export class NativeSession {
  readonly inputMetadata: readonly InferenceSession.ValueMetadata[];
  readonly outputMetadata: readonly InferenceSession.ValueMetadata[];
  private readonly native: Binding.InferenceSession;

  /** `graph`: a path, or a serialised ONNX model. Throws ONNX Runtime's error. */
  constructor(graph: string | Uint8Array<ArrayBuffer>, options: InferenceSession.SessionOptions) {
    initOrt();
    this.native = new binding.InferenceSession();
    if (typeof graph === 'string') this.native.loadModel(graph, options);
    else this.native.loadModel(graph.buffer, graph.byteOffset, graph.byteLength, options);
    this.inputMetadata = this.native.inputMetadata.map(metadataOf);
    this.outputMetadata = this.native.outputMetadata.map(metadataOf);
  }

  /**
   * Returns what was fetched, as copies: also of tensors that were given to be filled. Throws ONNX Runtime's error, or the
   * binding's, which says what of a tensor it expected.
   */
  run(feeds: Feeds, fetches: Fetches): Readonly<Record<string, Tensor>> {
    // The types ask for the package's own tensors; the binding reads these four properties alone.
    return this.native.run(feeds as Record<string, never>, fetches as Record<string, never>, {});
  }

  /** Writes the trace that `enableProfiling` asked for. */
  endProfiling(): void {
    this.native.endProfiling();
  }

  release(): void {
    this.native.dispose();
  }
}
