/**
 * An ONNX Runtime session whose runs read and fill memory that the caller keeps. A run blocks its thread; who calls it lets
 * messages in. Knows nothing of what the graphs are.
 */
import koffi from 'koffi';
import type { Pointer } from './native-library.ts';
import * as ort from './onnxruntime.ts';
import type { SharedInitializer } from './shared-weights.ts';

/** A tensor in memory of JavaScript, which must not be transferred. */
export interface BoundTensor<Data extends Float32Array | BigInt64Array = Float32Array | BigInt64Array> {
  readonly dims: readonly number[];
  readonly data: Data;
}

/** By name. */
export type BoundTensors = Readonly<Record<string, BoundTensor>>;

/** An input or output as the graph declares it: sizes that it leaves open by their names. */
export type TensorMetadata =
  | { readonly name: string; readonly isTensor: false }
  | {
      readonly name: string;
      readonly isTensor: true;
      readonly type: string;
      readonly shape: readonly (number | string)[];
    };

/** By onnx.proto's TensorProto.DataType, which ONNXTensorElementDataType follows. */
const ELEMENT_TYPES: Readonly<Record<number, string>> = {
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
  16: 'bfloat16',
  21: 'uint4',
  22: 'int4',
};
const FLOAT32 = 1;
const INT64 = 7;

export interface NativeSessionOptions {
  readonly numThreads: number;
  /** ONNX Runtime's session configuration (onnxruntime_session_options_config_keys.h). */
  readonly entries: Readonly<Record<string, string>>;
  /** Of the file of a trace; absent: none is made. */
  readonly profilePrefix?: string | undefined;
  /** Weights that other sessions have too, and where they are kept as packed for kernels; absent: all are its own. */
  readonly shared?:
    | { readonly initializers: readonly SharedInitializer[]; readonly packed: Pointer }
    | undefined;
}

function metadataOf(session: Pointer, kind: 'input' | 'output'): TensorMetadata[] {
  const [count, nameAt, typeAt] =
    kind === 'input'
      ? [ort.inputCount, ort.inputName, ort.inputTypeInfo]
      : [ort.outputCount, ort.outputName, ort.outputTypeInfo];
  return Array.from({ length: count(session) }, (_, index) => {
    const address = nameAt(session, index, ort.defaultAllocator);
    const name = koffi.decode.string(address);
    ort.allocatorFree(ort.defaultAllocator, address);
    const typeInfo = typeAt(session, index);
    try {
      const info = ort.tensorInfo(typeInfo);
      if (info === null) return { name, isTensor: false };
      const type = ort.elementType(info);
      return { name, isTensor: true, type: ELEMENT_TYPES[type] ?? `type ${type}`, shape: shapeOf(info) };
    } finally {
      ort.releaseTypeInfo(typeInfo);
    }
  });
}

function shapeOf(info: Pointer): (number | string)[] {
  const rank = ort.dimensionCount(info);
  const sizes = new BigInt64Array(rank);
  ort.dimensions(info, sizes, rank);
  const names = Array<string>(rank).fill('');
  ort.symbolicDimensions(info, names, rank);
  return names.map((name, axis) => (sizes[axis] === -1n ? name : Number(sizes[axis])));
}

/** A name as input, as output, or one as each: a cache is appended to in place. */
export interface Places {
  readonly input?: string;
  readonly output?: string;
}

/** What the runs of a session read and fill. */
export class NativeBinding {
  private readonly session: Pointer;
  private readonly binding: Pointer;
  /** By name, those that are given for each run. */
  private readonly current = new Map<string, BoundTensor>();

  constructor(session: Pointer, binding: Pointer) {
    this.session = session;
    this.binding = binding;
  }

  /**
   * For all runs from now on. Whoever calls must keep the tensor as long: the session reads and writes its memory without
   * JavaScript's knowing. Throws ONNX Runtime's error.
   */
  bind({ dims, data }: BoundTensor, { input, output }: Places): void {
    // Asked for its buffer, V8 moves an array that is small out of its heap, where it could not stay.
    const { byteLength } = data.buffer && data;
    const type = data instanceof Float32Array ? FLOAT32 : INT64;
    const sizes = BigInt64Array.from(dims, BigInt);
    const value = ort.createTensor(ort.cpuMemory, data, byteLength, sizes, dims.length, type);
    try {
      if (input !== undefined) ort.bindInput(this.binding, input, value);
      if (output !== undefined) ort.bindOutput(this.binding, output, value);
    } finally {
      // The binding has a share of its own.
      ort.releaseValue(value);
    }
  }

  /** With what else is bound. Throws ONNX Runtime's error. */
  run(inputs: BoundTensors, outputs: BoundTensors): void {
    for (const name in inputs) this.update(name, inputs[name]!, { input: name });
    for (const name in outputs) this.update(name, outputs[name]!, { output: name });
    ort.runWithBinding(this.session, ort.runOptions, this.binding);
  }

  private update(name: string, tensor: BoundTensor, places: Places): void {
    if (this.current.get(name) === tensor) return;
    this.bind(tensor, places);
    this.current.set(name, tensor);
  }
}

/** Of this thread: one that dies of an exception takes no memory with it, and leaves no threads that wait in the library. */
const open = new Set<NativeSession>();
process.once('exit', () => {
  for (const session of open) session.release();
});

export class NativeSession {
  readonly inputMetadata: readonly TensorMetadata[];
  readonly outputMetadata: readonly TensorMetadata[];
  private readonly session: Pointer;
  private readonly bindings = new Set<Pointer>();
  private readonly forgotten = new FinalizationRegistry<Pointer>((binding) => this.releaseBinding(binding));

  /** Throws ONNX Runtime's error. */
  constructor(path: string, { numThreads, entries, profilePrefix, shared }: NativeSessionOptions) {
    const options = ort.createSessionOptions();
    try {
      ort.setIntraOpNumThreads(options, numThreads);
      for (const [name, value] of Object.entries(entries)) ort.addSessionConfigEntry(options, name, value);
      if (profilePrefix !== undefined) ort.enableProfiling(options, profilePrefix);
      for (const { name, value } of shared?.initializers ?? []) ort.addInitializer(options, name, value);
      this.session =
        shared === undefined
          ? ort.createSession(ort.environment, path, options)
          : ort.createSessionWithPackedWeights(ort.environment, path, options, shared.packed);
    } finally {
      ort.releaseSessionOptions(options);
    }
    open.add(this);
    this.inputMetadata = metadataOf(this.session, 'input');
    this.outputMetadata = metadataOf(this.session, 'output');
  }

  /** Goes with the session, or once nobody has it any more. */
  newBinding(): NativeBinding {
    const address = ort.createIoBinding(this.session);
    this.bindings.add(address);
    const binding = new NativeBinding(this.session, address);
    this.forgotten.register(binding, address);
    return binding;
  }

  /** Writes the trace that was asked for. */
  endProfiling(): void {
    ort.allocatorFree(ort.defaultAllocator, ort.endProfiling(this.session, ort.defaultAllocator));
  }

  /** Neither it nor its bindings may be used any more. */
  release(): void {
    open.delete(this);
    for (const binding of this.bindings) this.releaseBinding(binding);
    ort.releaseSession(this.session);
  }

  private releaseBinding(binding: Pointer): void {
    if (this.bindings.delete(binding)) ort.releaseIoBinding(binding);
  }
}
