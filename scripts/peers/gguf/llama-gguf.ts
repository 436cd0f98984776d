/**
 * A model folder's `model.safetensors` as a GGUF of llama.cpp's `llama` architecture: the target model, without its MTP
 * module. Names of tensors and metadata are those of https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py.
 *
 * Its vocabulary stands for ids: token 12 is written `<12>`, so that a runtime that takes only text can be given ids.
 */
import { quantiseQ4, quantiseQ8 } from './block-quantisation.ts';
import { ggufFile, type GgufTensor, type MetadataValue } from './gguf-file.ts';
import type { Safetensors, Tensor } from './safetensors.ts';

/** Of all matrices; norms are always float32. */
export type GgufPrecision = 'F32' | 'Q8_0' | 'Q4_0';

/** As scripts/train keeps it in the metadata of `model.safetensors`. */
interface ModelShape {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly num_layers: number;
  readonly num_heads: number;
  readonly num_kv_heads: number;
  readonly head_size: number;
  readonly intermediate_size: number;
  readonly context_length: number;
  readonly rope_theta: number;
  readonly rms_norm_epsilon: number;
}

/** Numbers of llama_ftype. */
const FILE_TYPES: Readonly<Record<GgufPrecision, number>> = { F32: 0, Q8_0: 7, Q4_0: 2 };
/** Of llama_token_type: found in a text as it stands. */
const USER_DEFINED = 4;
/** Of torch.nn.functional.rms_norm, by which the model normalises its embedding: that of float32. */
const EMBEDDING_EPSILON = 2 ** -23;

export const tokenText = (id: number): string => `<${id}>`;

/** Rows scaled to unit root mean square, as the model scales them each time that it looks one up. */
function normalisedRows({ shape, values }: Tensor): Tensor {
  const width = shape[1]!;
  const scaled = new Float32Array(values.length);
  for (let start = 0; start < values.length; start += width) {
    const row = values.subarray(start, start + width);
    const meanSquare = row.reduce((sum, value) => sum + value * value, 0) / width;
    const factor = 1 / Math.sqrt(meanSquare + EMBEDDING_EPSILON);
    scaled.set(
      row.map((value) => value * factor),
      start,
    );
  }
  return { shape, values: scaled };
}

/**
 * Rows of a query or key projection, [numHeads * headSize, hiddenSize], from the rotary embedding that pairs a head's
 * row i with row i + headSize / 2 to the one that pairs neighbours, which llama.cpp's `llama` has.
 */
export function interleavedHalves({ shape, values }: Tensor, numHeads: number): Tensor {
  const [numRows, width] = shape as [number, number];
  const half = numRows / numHeads / 2;
  const moved = new Float32Array(values.length);
  for (let row = 0; row < numRows; row += 1) {
    const head = Math.floor(row / (2 * half));
    const place = row % (2 * half);
    const target = head * 2 * half + (place % half) * 2 + Math.floor(place / half);
    moved.set(values.subarray(row * width, (row + 1) * width), target * width);
  }
  return { shape, values: moved };
}

function stored(name: string, { shape, values }: Tensor, precision: GgufPrecision): GgufTensor {
  if (precision === 'F32' || shape.length === 1) {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return { name, type: 'f32', shape, bytes };
  }
  return precision === 'Q8_0'
    ? { name, type: 'q8_0', shape, bytes: quantiseQ8(values) }
    : { name, type: 'q4_0', shape, bytes: quantiseQ4(values) };
}

function metadataOf(
  shape: ModelShape,
  precision: GgufPrecision,
  unusedTokenId: number,
): Record<string, MetadataValue> {
  const uint32 = (value: number): MetadataValue => ({ type: 'uint32', value });
  const text = (value: string): MetadataValue => ({ type: 'string', value });
  const ids = Array.from({ length: shape.vocab_size }, (_, id) => id);
  return {
    'general.architecture': text('llama'),
    'general.file_type': uint32(FILE_TYPES[precision]),
    'llama.vocab_size': uint32(shape.vocab_size),
    'llama.context_length': uint32(shape.context_length),
    'llama.embedding_length': uint32(shape.hidden_size),
    'llama.block_count': uint32(shape.num_layers),
    'llama.feed_forward_length': uint32(shape.intermediate_size),
    'llama.attention.head_count': uint32(shape.num_heads),
    'llama.attention.head_count_kv': uint32(shape.num_kv_heads),
    'llama.attention.key_length': uint32(shape.head_size),
    'llama.attention.value_length': uint32(shape.head_size),
    'llama.attention.layer_norm_rms_epsilon': { type: 'float32', value: shape.rms_norm_epsilon },
    'llama.rope.dimension_count': uint32(shape.head_size),
    'llama.rope.freq_base': { type: 'float32', value: shape.rope_theta },
    'tokenizer.ggml.model': text('gpt2'),
    'tokenizer.ggml.pre': text('gpt-2'),
    'tokenizer.ggml.tokens': { type: 'string[]', value: ids.map(tokenText) },
    'tokenizer.ggml.token_type': { type: 'int32[]', value: ids.map(() => USER_DEFINED) },
    'tokenizer.ggml.merges': { type: 'string[]', value: [] },
    'tokenizer.ggml.add_bos_token': { type: 'bool', value: false },
    'tokenizer.ggml.bos_token_id': uint32(unusedTokenId),
    'tokenizer.ggml.eos_token_id': uint32(unusedTokenId),
  };
}

/** unusedTokenId: a token that the model never writes, declared to end a text, so that none ends early. */
export function llamaGguf(
  { metadata, tensors }: Safetensors,
  precision: GgufPrecision,
  unusedTokenId: number,
): Buffer {
  const shape = JSON.parse(metadata['shape'] ?? 'null') as ModelShape | null;
  if (shape === null) throw new Error("expected 'shape' in the metadata of model.safetensors");
  const tensor = (name: string): Tensor => {
    const found = tensors.get(name);
    if (found === undefined) throw new Error(`expected the tensor ${name} in model.safetensors`);
    return found;
  };
  const converted: Record<string, Tensor> = {
    'token_embd.weight': normalisedRows(tensor('model.embed_tokens.weight')),
    'output_norm.weight': tensor('model.norm.weight'),
    'output.weight': tensor('lm_head.weight'),
  };
  for (let layer = 0; layer < shape.num_layers; layer += 1) {
    const source = (name: string): Tensor => tensor(`model.layers.${layer}.${name}.weight`);
    const layerTensors: Record<string, Tensor> = {
      attn_norm: source('input_layernorm'),
      attn_q: interleavedHalves(source('self_attn.q_proj'), shape.num_heads),
      attn_k: interleavedHalves(source('self_attn.k_proj'), shape.num_kv_heads),
      attn_v: source('self_attn.v_proj'),
      attn_output: source('self_attn.o_proj'),
      ffn_norm: source('post_attention_layernorm'),
      ffn_gate: source('mlp.gate_proj'),
      ffn_up: source('mlp.up_proj'),
      ffn_down: source('mlp.down_proj'),
    };
    for (const [name, value] of Object.entries(layerTensors)) {
      converted[`blk.${layer}.${name}.weight`] = value;
    }
  }
  const stores = Object.entries(converted).map(([name, value]) => stored(name, value, precision));
  return ggufFile(metadataOf(shape, precision, unusedTokenId), stores);
}
