/**
 * ggml's block formats, written as its reference quantisers do (quantize_row_q8_0_ref and quantize_row_q4_0_ref in
 * https://github.com/ggml-org/llama.cpp/blob/master/ggml/src/ggml-quants.c), in float32 arithmetic. Knows nothing of
 * files. A block is 32 values of one row: a float16 scale, then the integers.
 */

export const BLOCK_SIZE = 32;

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The nearest float16, ties to even, as its 16 bits. */
export function float16Bits(value: number): number {
  float[0] = value;
  const sign = (bits[0]! >>> 16) & 0x8000;
  const magnitude = bits[0]! & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return sign | 0x7e00;
  if (magnitude >= 0x4780_0000) return sign | 0x7c00;
  const exponent = magnitude >>> 23;
  // Below 2^-14 there is no exponent left, and the mantissa's leading one is written out.
  const isSubnormal = exponent < 113;
  const numDropped = isSubnormal ? Math.min(126 - exponent, 31) : 13;
  const mantissa = isSubnormal
    ? (magnitude & 0x7f_ffff) | (exponent === 0 ? 0 : 0x80_0000)
    : magnitude - (112 << 23);
  const kept = mantissa >>> numDropped;
  const dropped = mantissa & (2 ** numDropped - 1);
  const half = 2 ** (numDropped - 1);
  const roundsUp = dropped > half || (dropped === half && (kept & 1) === 1);
  return sign | (kept + (roundsUp ? 1 : 0));
}

/** C's roundf: ties away from zero. */
const roundAwayFromZero = (value: number): number => Math.sign(value) * Math.floor(Math.abs(value) + 0.5);

const inverse = (scale: number): number => (scale === 0 ? 0 : Math.fround(1 / scale));

/** values: [n], n a multiple of BLOCK_SIZE; returns [n / BLOCK_SIZE] blocks of `blockBytes` bytes. */
function quantise(
  values: Float32Array,
  blockBytes: number,
  write: (block: Float32Array, out: DataView) => void,
): Uint8Array {
  if (values.length % BLOCK_SIZE !== 0) {
    throw new Error(`expected a multiple of ${BLOCK_SIZE} values, got ${values.length}`);
  }
  const numBlocks = values.length / BLOCK_SIZE;
  const bytes = new Uint8Array(numBlocks * blockBytes);
  for (let index = 0; index < numBlocks; index += 1) {
    const block = values.subarray(index * BLOCK_SIZE, (index + 1) * BLOCK_SIZE);
    write(block, new DataView(bytes.buffer, index * blockBytes, blockBytes));
  }
  return bytes;
}

/** Of those farthest from zero, the first. */
const extremeOf = (block: Float32Array): number =>
  block.reduce((extreme, value) => (Math.abs(value) > Math.abs(extreme) ? value : extreme), 0);

/** Signed 8-bit integers; the value farthest from zero becomes 127 or -127. */
export const quantiseQ8 = (values: Float32Array): Uint8Array =>
  quantise(values, 2 + BLOCK_SIZE, (block, out) => {
    const scale = Math.fround(Math.abs(extremeOf(block)) / 127);
    const factor = inverse(scale);
    out.setUint16(0, float16Bits(scale), true);
    for (const [index, value] of block.entries()) {
      out.setInt8(2 + index, roundAwayFromZero(Math.fround(value * factor)));
    }
  });

/**
 * Unsigned 4-bit integers with 8 for zero; the value farthest from zero becomes 0. A byte holds value i of the block's
 * first half in its low bits and value i of the second half in its high bits.
 */
export const quantiseQ4 = (values: Float32Array): Uint8Array =>
  quantise(values, 2 + BLOCK_SIZE / 2, (block, out) => {
    const scale = Math.fround(extremeOf(block) / -8);
    const factor = inverse(scale);
    const rounded = (value: number): number =>
      Math.min(15, Math.trunc(Math.fround(Math.fround(value * factor) + 8.5)));
    out.setUint16(0, float16Bits(scale), true);
    for (let index = 0; index < BLOCK_SIZE / 2; index += 1) {
      const low = rounded(block[index]!);
      const high = rounded(block[index + BLOCK_SIZE / 2]!);
      out.setUint8(2 + index, low | (high << 4));
    }
  });
