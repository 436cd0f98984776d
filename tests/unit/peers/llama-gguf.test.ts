import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { interleavedHalves, llamaGguf } from '../../../scripts/peers/gguf/llama-gguf.ts';
import { readSafetensors, type Tensor } from '../../../scripts/peers/gguf/safetensors.ts';

const shape = {
  vocab_size: 4,
  hidden_size: 32,
  num_layers: 1,
  num_heads: 2,
  num_kv_heads: 1,
  head_size: 16,
  intermediate_size: 64,
  context_length: 8,
  rope_theta: 10_000,
  rms_norm_epsilon: 1e-5,
};

const filled = (...dimensions: number[]): Tensor => ({
  shape: dimensions,
  values: new Float32Array(dimensions.reduce((product, size) => product * size, 1)).fill(2),
});

const layer = 'model.layers.0';
const tensors = new Map(
  Object.entries({
    'model.embed_tokens.weight': filled(4, 32),
    'model.norm.weight': filled(32),
    'lm_head.weight': filled(4, 32),
    [`${layer}.input_layernorm.weight`]: filled(32),
    [`${layer}.self_attn.q_proj.weight`]: filled(32, 32),
    [`${layer}.self_attn.k_proj.weight`]: filled(16, 32),
    [`${layer}.self_attn.v_proj.weight`]: filled(16, 32),
    [`${layer}.self_attn.o_proj.weight`]: filled(32, 32),
    [`${layer}.post_attention_layernorm.weight`]: filled(32),
    [`${layer}.mlp.gate_proj.weight`]: filled(64, 32),
    [`${layer}.mlp.up_proj.weight`]: filled(64, 32),
    [`${layer}.mlp.down_proj.weight`]: filled(32, 64),
    'mtp.norm.weight': filled(32),
  }),
);
const metadata = { shape: JSON.stringify(shape) };

/** Bytes of the target's tensors, each padded to 32; norms have one dimension. */
function dataLength(bytesPerBlock: number): number {
  let length = 0;
  for (const [name, { shape: dimensions, values }] of tensors) {
    if (name.startsWith('mtp')) continue;
    const bytes = (values.length / 32) * (dimensions.length === 1 ? 128 : bytesPerBlock);
    length += Math.ceil(bytes / 32) * 32;
  }
  return length;
}

it('pairs a row of a head with the one half a head further', () => {
  const rows = Float32Array.from({ length: 8 }, (_, row) => row);
  expect([...interleavedHalves({ shape: [8, 1], values: rows }, 2).values]).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
});

it('takes the target model, its embedding scaled to unit root mean square', () => {
  const file = llamaGguf({ metadata, tensors }, 'F32', 3);
  expect(file.includes('mtp')).toBe(false);
  const data = file.length - dataLength(128);
  expect(file.readFloatLE(data)).toBeCloseTo(1, 6);
  // The norm of the output follows, as it is.
  expect(file.readFloatLE(data + 4 * 32 * 4)).toBe(2);
});

it('keeps matrices as blocks, norms as float32', () => {
  const [f32, q8, q4] = (['F32', 'Q8_0', 'Q4_0'] as const).map(
    (precision) => llamaGguf({ metadata, tensors }, precision, 3).length,
  );
  expect(f32! - q8!).toBe(dataLength(128) - dataLength(34));
  expect(f32! - q4!).toBe(dataLength(128) - dataLength(18));
});

it('says which tensor is missing', () => {
  const without = new Map([...tensors].filter(([name]) => name !== 'model.norm.weight'));
  expect(() => llamaGguf({ metadata, tensors: without }, 'F32', 3)).toThrow('model.norm.weight');
});

it('reads bfloat16 and float32 from a safetensors file', async () => {
  const header = Buffer.from(
    JSON.stringify({
      __metadata__: { format: 'pt' },
      half: { dtype: 'BF16', shape: [2], data_offsets: [0, 4] },
      full: { dtype: 'F32', shape: [1, 1], data_offsets: [4, 8] },
    }),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const data = Buffer.from([0x80, 0x3f, 0x20, 0xc0, 0, 0, 0, 0]);
  data.writeFloatLE(0.1, 4);
  const folder = await mkdtemp(join(tmpdir(), 'foretoken-test-'));
  try {
    const path = join(folder, 'some.safetensors');
    await writeFile(path, Buffer.concat([length, header, data]));
    const read = await readSafetensors(path);
    expect(read.metadata).toEqual({ format: 'pt' });
    expect(read.tensors.get('half')).toEqual({ shape: [2], values: Float32Array.of(1, -2.5) });
    expect(read.tensors.get('full')).toEqual({ shape: [1, 1], values: Float32Array.of(0.1) });
  } finally {
    await rm(folder, { recursive: true });
  }
});
