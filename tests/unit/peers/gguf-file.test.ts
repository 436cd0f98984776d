import { expect, it } from 'vitest';
import { ggufFile } from '../../../scripts/peers/gguf/gguf-file.ts';

/** Reads one after another what a file has. */
class Reader {
  position = 0;
  readonly #file: Buffer;

  constructor(file: Buffer) {
    this.#file = file;
  }

  u32(): number {
    this.position += 4;
    return this.#file.readUInt32LE(this.position - 4);
  }

  u64(): number {
    this.position += 8;
    return Number(this.#file.readBigUInt64LE(this.position - 8));
  }

  text(length = this.u64()): string {
    this.position += length;
    return this.#file.toString('utf8', this.position - length, this.position);
  }
}

it('has counts, metadata, places and padded tensors', () => {
  const values = Float32Array.of(1, 2, 3, 4, 5, 6);
  const file = ggufFile(
    {
      name: { type: 'string', value: 'é' },
      size: { type: 'uint32', value: 7 },
      words: { type: 'string[]', value: ['a', ''] },
    },
    [
      { name: 'small', type: 'f32', shape: [2, 3], bytes: new Uint8Array(values.buffer) },
      { name: 'block', type: 'q8_0', shape: [1, 32], bytes: new Uint8Array(34).fill(9) },
    ],
  );
  const reader = new Reader(file);
  expect([reader.text(4), reader.u32(), reader.u64(), reader.u64()]).toEqual(['GGUF', 3, 2, 3]);
  expect([reader.text(), reader.u32(), reader.text()]).toEqual(['name', 8, 'é']);
  expect([reader.text(), reader.u32(), reader.u32()]).toEqual(['size', 4, 7]);
  expect([reader.text(), reader.u32(), reader.u32(), reader.u64()]).toEqual(['words', 9, 8, 2]);
  expect([reader.text(), reader.text()]).toEqual(['a', '']);
  // Dimensions innermost first, the type, and the offset behind the header.
  expect([reader.text(), reader.u32(), reader.u64(), reader.u64()]).toEqual(['small', 2, 3, 2]);
  expect([reader.u32(), reader.u64()]).toEqual([0, 0]);
  expect([reader.text(), reader.u32(), reader.u64(), reader.u64()]).toEqual(['block', 2, 32, 1]);
  expect([reader.u32(), reader.u64()]).toEqual([8, 32]);
  const data = Math.ceil(reader.position / 32) * 32;
  expect([0, 1, 2, 3, 4, 5].map((index) => file.readFloatLE(data + 4 * index))).toEqual([...values]);
  expect(file.subarray(data + 32, data + 66)).toEqual(Buffer.alloc(34, 9));
  expect(file).toHaveLength(data + 96);
});
