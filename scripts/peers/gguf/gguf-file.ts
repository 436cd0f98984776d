/**
 * The bytes of a GGUF file, version 3: counts, metadata, where each tensor lies, then the tensors
 * (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Everything is little-endian. Knows nothing of models.
 */

/** A typed value of the metadata. */
export type MetadataValue =
  | { readonly type: 'uint32' | 'int32' | 'float32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'int32[]'; readonly value: readonly number[] }
  | { readonly type: 'string[]'; readonly value: readonly string[] };

/** Numbers of ggml_type. */
export const TENSOR_TYPES = { f32: 0, q4_0: 2, q8_0: 8 } as const;

export interface GgufTensor {
  readonly name: string;
  readonly type: keyof typeof TENSOR_TYPES;
  /** Outermost dimension first; the file has them the other way round. */
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

const ALIGNMENT = 32;
const VERSION = 3;
/** Numbers of gguf_metadata_value_type. */
const VALUE_TYPES = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;

const padded = (length: number): number => Math.ceil(length / ALIGNMENT) * ALIGNMENT;

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

const i32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};

const f32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
};

const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
};

const array = (type: number, items: readonly Buffer[]): Buffer =>
  Buffer.concat([u32(VALUE_TYPES.array), u32(type), u64(items.length), ...items]);

function typedValue(entry: MetadataValue): Buffer {
  switch (entry.type) {
    case 'uint32':
      return Buffer.concat([u32(VALUE_TYPES.uint32), u32(entry.value)]);
    case 'int32':
      return Buffer.concat([u32(VALUE_TYPES.int32), i32(entry.value)]);
    case 'float32':
      return Buffer.concat([u32(VALUE_TYPES.float32), f32(entry.value)]);
    case 'bool':
      return Buffer.concat([u32(VALUE_TYPES.bool), Buffer.from([Number(entry.value)])]);
    case 'string':
      return Buffer.concat([u32(VALUE_TYPES.string), text(entry.value)]);
    case 'int32[]':
      return array(VALUE_TYPES.int32, entry.value.map(i32));
    // Strings.
    default:
      return array(VALUE_TYPES.string, entry.value.map(text));
  }
}

export function ggufFile(
  metadata: Readonly<Record<string, MetadataValue>>,
  tensors: readonly GgufTensor[],
): Buffer {
  const entries = Object.entries(metadata);
  const parts = [Buffer.from('GGUF'), u32(VERSION), u64(tensors.length), u64(entries.length)];
  for (const [name, value] of entries) parts.push(text(name), typedValue(value));
  let offset = 0;
  for (const { name, type, shape, bytes } of tensors) {
    parts.push(text(name), u32(shape.length), ...shape.toReversed().map(u64), u32(TENSOR_TYPES[type]));
    parts.push(u64(offset));
    offset += padded(bytes.length);
  }
  const headerLength = parts.reduce((sum, part) => sum + part.length, 0);
  parts.push(Buffer.alloc(padded(headerLength) - headerLength));
  for (const { bytes } of tensors) {
    parts.push(Buffer.from(bytes), Buffer.alloc(padded(bytes.length) - bytes.length));
  }
  return Buffer.concat(parts);
}
