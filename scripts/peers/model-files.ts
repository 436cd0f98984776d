/** The weights of a model folder as each runtime wants them, in a folder for temporary files. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelFiles } from './contestant.ts';
import { llamaGguf, type GgufPrecision } from './gguf/llama-gguf.ts';
import { readSafetensors } from './gguf/safetensors.ts';

interface GenaiConfig {
  readonly model: {
    readonly vocab_size: number;
    readonly context_length: number;
    readonly bos_token_id: number;
    readonly decoder: {
      readonly hidden_size: number;
      readonly num_attention_heads: number;
      readonly num_key_value_heads: number;
      readonly num_hidden_layers: number;
      readonly head_size: number;
    };
  };
}

interface TokenizerJson {
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
}

const json = async (folder: string, name: string): Promise<unknown> =>
  JSON.parse(await readFile(join(folder, name), 'utf8')) as unknown;

/** Reserved when the tokeniser was made, and in no training data: what ends a text for runtimes that must have such. */
async function unusedTokenId(folder: string): Promise<number> {
  const { added_tokens: added } = (await json(folder, 'tokenizer.json')) as TokenizerJson;
  const reserved = added.find(({ content }) => content.startsWith('<|reserved'));
  if (reserved === undefined) throw new Error('tokenizer.json: expected a token <|reserved...|>');
  return reserved.id;
}

/** As `generate` of transformers.js reads a decoder: config.json, and the standard graph as onnx/model.onnx with its data. */
async function writeTransformersFolder(folder: string, out: string, endOfText: number): Promise<string> {
  const { model } = (await json(folder, 'genai_config.json')) as GenaiConfig;
  const { decoder } = model;
  const config = {
    model_type: 'llama',
    architectures: ['LlamaForCausalLM'],
    vocab_size: model.vocab_size,
    hidden_size: decoder.hidden_size,
    num_hidden_layers: decoder.num_hidden_layers,
    num_attention_heads: decoder.num_attention_heads,
    num_key_value_heads: decoder.num_key_value_heads,
    head_dim: decoder.head_size,
    max_position_embeddings: model.context_length,
    bos_token_id: model.bos_token_id,
    eos_token_id: endOfText,
    pad_token_id: model.bos_token_id,
  };
  await mkdir(join(out, 'onnx'), { recursive: true });
  await writeFile(join(out, 'config.json'), JSON.stringify(config));
  await copyFile(join(folder, 'standard.onnx'), join(out, 'onnx', 'model.onnx'));
  await copyFile(join(folder, 'model.onnx.data'), join(out, 'onnx', 'model.onnx.data'));
  return out;
}

export async function writeModelFiles(modelFolder: string, out: string): Promise<ModelFiles> {
  const endOfText = await unusedTokenId(modelFolder);
  const weights = await readSafetensors(join(modelFolder, 'model.safetensors'));
  const writeGguf = async (precision: GgufPrecision): Promise<string> => {
    const path = join(out, `${precision}.gguf`);
    await writeFile(path, llamaGguf(weights, precision, endOfText));
    return path;
  };
  const { precision, block_size: blockSize } = (await json(modelFolder, 'foretoken.json')) as {
    readonly precision: string;
    readonly block_size: number | null;
  };
  return {
    foretokenFolder: modelFolder,
    foretokenWeights: blockSize === null ? precision : `${precision}, block ${blockSize}`,
    transformersFolder: await writeTransformersFolder(modelFolder, join(out, 'transformers'), endOfText),
    gguf: {
      F32: await writeGguf('F32'),
      Q8_0: await writeGguf('Q8_0'),
      Q4_0: await writeGguf('Q4_0'),
    },
  };
}
