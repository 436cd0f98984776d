/**
 * One decoder graph with its KV cache bound in place and its outputs in buffers that are reused. Shared by target
 * and MTP module, which differ only in their other tensors. Knows nothing of tokens' meaning.
 */
import * as ort from 'onnxruntime-node';
import type { GraphConfig } from './manifest.ts';
import type { OnnxKvCache } from './onnx-kv-cache.ts';
import type { ExpectedTensor } from './session.ts';
import { runInto } from './uncopied-outputs.ts';

const perLayer = (pattern: string, numLayers: number): string[] =>
  Array.from({ length: numLayers }, (_, layer) => pattern.replace('%d', String(layer)));

export class OnnxGraph {
  readonly config: GraphConfig;
  private readonly session: ort.InferenceSession;
  private readonly pastKeys: readonly string[];
  private readonly pastValues: readonly string[];
  private readonly presentKeys: readonly string[];
  private readonly presentValues: readonly string[];
  private readonly tokenIds: BigInt64Array; // [maxWidth]
  private readonly tokenTensors: ort.Tensor[] = []; // by width
  private readonly attentionMask: BigInt64Array; // [capacity], all ones: one sequence, nothing padded

  constructor(session: ort.InferenceSession, config: GraphConfig, maxWidth: number, capacity: number) {
    this.session = session;
    this.config = config;
    const numLayers = config.num_hidden_layers;
    this.pastKeys = perLayer(config.inputs.past_key_names, numLayers);
    this.pastValues = perLayer(config.inputs.past_value_names, numLayers);
    this.presentKeys = perLayer(config.outputs.present_key_names, numLayers);
    this.presentValues = perLayer(config.outputs.present_value_names, numLayers);
    this.tokenIds = new BigInt64Array(maxWidth);
    for (let width = 0; width <= maxWidth; width += 1)
      this.tokenTensors.push(new ort.Tensor('int64', this.tokenIds.subarray(0, width), [1, width]));
    this.attentionMask = new BigInt64Array(capacity).fill(1n);
  }

  /** Runs `tokenIds` behind what the cache holds; `feeds` and `fetches` carry everything but ids, mask and cache. */
  async run(
    cache: OnnxKvCache,
    tokenIds: readonly number[],
    feeds: Record<string, ort.Tensor>,
    fetches: Record<string, ort.Tensor>,
  ): Promise<void> {
    const width = tokenIds.length;
    for (let index = 0; index < width; index += 1) this.tokenIds[index] = BigInt(tokenIds[index]!);
    cache.append(width);
    const { inputs } = this.config;
    feeds[inputs.input_ids] = this.tokenTensors[width]!;
    const mask = this.attentionMask.subarray(0, cache.length);
    feeds[inputs.attention_mask] = new ort.Tensor('int64', mask, [1, cache.length]);
    const { keys, values } = cache;
    for (let layer = 0; layer < this.pastKeys.length; layer += 1) {
      const key = keys[layer]!;
      const value = values[layer]!;
      feeds[this.pastKeys[layer]!] = key;
      feeds[this.pastValues[layer]!] = value;
      fetches[this.presentKeys[layer]!] = key;
      fetches[this.presentValues[layer]!] = value;
    }
    await runInto(this.session, feeds, fetches);
  }

  async close(): Promise<void> {
    await this.session.release();
  }
}

/** What a decoder graph must take besides the tensors of its own kind. */
export function expectedInputs(config: GraphConfig): ExpectedTensor[] {
  const cacheShape = [null, config.num_key_value_heads, null, config.head_size];
  const caches = [config.inputs.past_key_names, config.inputs.past_value_names].flatMap((pattern) =>
    perLayer(pattern, config.num_hidden_layers),
  );
  return [
    { name: config.inputs.input_ids, type: 'int64', shape: [null, null] },
    { name: config.inputs.attention_mask, type: 'int64', shape: [null, null] },
    ...caches.map((name) => ({ name, type: 'float32', shape: cacheShape })),
  ];
}

export function expectedOutputs(
  config: GraphConfig,
  vocabSize: number,
  hiddenSize: number,
): ExpectedTensor[] {
  const cacheShape = [null, config.num_key_value_heads, null, config.head_size];
  const caches = [config.outputs.present_key_names, config.outputs.present_value_names].flatMap((pattern) =>
    perLayer(pattern, config.num_hidden_layers),
  );
  return [
    { name: config.outputs.logits, type: 'float32', shape: [null, null, vocabSize] },
    { name: config.outputs.hidden_states, type: 'float32', shape: [null, null, hiddenSize] },
    ...caches.map((name) => ({ name, type: 'float32', shape: cacheShape })),
  ];
}
