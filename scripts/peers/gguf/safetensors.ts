/**
 * Reads a safetensors file: the header's length as 64 bits, the header as JSON, then the tensors' bytes
 * (https://github.com/huggingface/safetensors#format). Everything is little-endian.
 */
import { readFile } from 'node:fs/promises';

export interface Tensor {
  /** Outermost dimension first. */
  readonly shape: readonly number[];
  /** [product of shape], row by row. */
  readonly values: Float32Array;
}

export interface Safetensors {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

interface HeaderEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Begin and end, in bytes behind the header. */
  readonly data_offsets: readonly [number, number];
}

/** bytes: of bfloat16, which is the upper half of float32, or of float32. */
function toFloat32(dtype: string, bytes: Uint8Array): Float32Array {
  const aligned = new Uint8Array(bytes).buffer;
  if (dtype === 'F32') return new Float32Array(aligned);
  if (dtype !== 'BF16') throw new Error(`expected tensors of BF16 or F32, got ${dtype}`);
  const halves = new Uint16Array(aligned);
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
}

export async function readSafetensors(path: string): Promise<Safetensors> {
  const file = await readFile(path);
  const headerEnd = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__: metadata, ...entries } = JSON.parse(file.toString('utf8', 8, headerEnd)) as Record<
    string,
    HeaderEntry
  > & { readonly __metadata__?: Readonly<Record<string, string>> };
  const tensors = new Map<string, Tensor>();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(entries)) {
    const [begin, end] = offsets;
    const bytes = file.subarray(headerEnd + begin, headerEnd + end);
    tensors.set(name, { shape, values: toFloat32(dtype, bytes) });
  }
  return { metadata: metadata ?? {}, tensors };
}
