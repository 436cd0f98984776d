import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BLOCK_SIZE,
  float16Bits,
  quantiseQ4,
  quantiseQ8,
} from '../../../scripts/peers/gguf/block-quantisation.ts';

const blockOf = (...values: number[]): Float32Array =>
  Float32Array.from({ length: BLOCK_SIZE }, (_, index) => values[index] ?? 0);

/** A float16's value, from its definition. */
function float16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

describe('float16Bits', () => {
  it.each([
    [0, 0x0000],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [1 / 3, 0x3555],
    [65504, 0x7bff],
    [65519, 0x7bff],
    [65520, 0x7c00],
    [-Infinity, 0xfc00],
    [2 ** -14, 0x0400],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000],
    [1.5 * 2 ** -25, 0x0001],
    [2 ** -14 - 2 ** -26, 0x0400],
    [1e-40, 0x0000],
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
  ])('%d', (value, expected) => {
    expect(float16Bits(value)).toBe(expected);
  });

  it('gives every float16 back', () => {
    for (let bits = 0; bits < 0x7c00; bits += 1) {
      expect(float16Bits(float16Value(bits))).toBe(bits);
      expect(float16Bits(-float16Value(bits))).toBe(bits | 0x8000);
    }
  });
});

describe('quantiseQ8', () => {
  it('has the scale, then a byte a value, rounded away from zero', () => {
    const bytes = quantiseQ8(blockOf(127, -127, 2.5, -2.5, 0.49));
    expect([...bytes.subarray(0, 8)]).toEqual([0x00, 0x3c, 127, 129, 3, 253, 0, 0]);
    expect(bytes).toHaveLength(34);
  });

  it('comes within half a step of every value', () => {
    const finite = fc.float({ min: -4, max: 4, noNaN: true });
    fc.assert(
      fc.property(fc.array(finite, { minLength: BLOCK_SIZE, maxLength: BLOCK_SIZE }), (values) => {
        const bytes = new DataView(quantiseQ8(Float32Array.from(values)).buffer);
        const scale = float16Value(bytes.getUint16(0, true));
        for (const [index, value] of values.entries()) {
          // The scale is itself rounded, to 11 bits or to 2^-24.
          const tolerance = 0.5 * scale + Math.abs(value) * 2 ** -10 + 127 * 2 ** -24;
          expect(Math.abs(bytes.getInt8(2 + index) * scale - value)).toBeLessThanOrEqual(tolerance);
        }
      }),
    );
  });
});

describe('quantiseQ4', () => {
  it('has the scale, then values i and i + 16 in a byte', () => {
    const block = blockOf(-8, 7, 0.5, -0.51);
    block[16] = 3;
    block[17] = 8;
    const bytes = quantiseQ4(block);
    expect([...bytes.subarray(0, 7)]).toEqual([0x00, 0x3c, 0xb0, 0xff, 0x89, 0x87, 0x88]);
    expect(bytes).toHaveLength(18);
  });

  it('takes its sign from the value farthest from zero', () => {
    const bytes = quantiseQ4(blockOf(8, -7));
    expect([...bytes.subarray(0, 4)]).toEqual([0x00, 0xbc, 0x80, 0x8f]);
  });
});

it('keeps a block of zeros, at 4 bits with the scale 0 / -8', () => {
  expect([...quantiseQ8(blockOf())]).toEqual(Array.from({ length: 34 }, () => 0));
  expect([...quantiseQ4(blockOf())]).toEqual([0x00, 0x80, ...Array.from({ length: 16 }, () => 0x88)]);
});

it('refuses what is no whole number of blocks', () => {
  expect(() => quantiseQ8(new Float32Array(33))).toThrow('expected a multiple of 32 values, got 33');
});
