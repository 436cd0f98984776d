/**
 * A decoder graph that takes the tokens of several sequences, one behind the other, and gives each its own attention
 * (scripts/train/foretoken_train/graph.py, SharedGraphBuilder). Shared by target and MTP module. Knows nothing of tokens'
 * meaning.
 */
import * as ort from 'onnxruntime-node';
import type { GraphConfig } from './manifest.ts';
import type { OnnxKvCache } from './onnx-kv-cache.ts';
import type { ExpectedTensor } from './session.ts';
import type { TargetPart } from './target-model.ts';
import { runInto } from './uncopied-outputs.ts';

/** Of one sequence and layer: the names of its two caches, past and present. */
interface CacheNames {
  readonly pastKey: string;
  readonly pastValue: string;
  readonly presentKey: string;
  readonly presentValue: string;
}

/** [numSequences][numLayers] */
function cacheNames(numSequences: number, numLayers: number): CacheNames[][] {
  return Array.from({ length: numSequences }, (_, sequence) =>
    Array.from({ length: numLayers }, (__, layer) => ({
      pastKey: `past_key_values.${sequence}.${layer}.key`,
      pastValue: `past_key_values.${sequence}.${layer}.value`,
      presentKey: `present.${sequence}.${layer}.key`,
      presentValue: `present.${sequence}.${layer}.value`,
    })),
  );
}

export class OnnxSharedGraph {
  readonly numSequences: number;
  private readonly session: ort.InferenceSession;
  private readonly names: readonly (readonly CacheNames[])[];
  private readonly tokenIds: BigInt64Array; // [numSequences * maxWidth]
  private readonly tokenTensors: ort.Tensor[] = []; // by tokens of the pass
  private readonly widths: ort.Tensor; // [numSequences]
  private readonly totalLengths: ort.Tensor; // [numSequences]

  constructor(session: ort.InferenceSession, config: GraphConfig, numSequences: number, maxWidth: number) {
    this.session = session;
    this.numSequences = numSequences;
    this.names = cacheNames(numSequences, config.num_hidden_layers);
    this.tokenIds = new BigInt64Array(numSequences * maxWidth);
    for (let width = 0; width <= this.tokenIds.length; width += 1)
      this.tokenTensors.push(new ort.Tensor('int64', this.tokenIds.subarray(0, width), [1, width]));
    this.widths = new ort.Tensor('int64', new BigInt64Array(numSequences), [numSequences]);
    this.totalLengths = new ort.Tensor('int32', new Int32Array(numSequences), [numSequences]);
  }

  /** Runs each part behind what its cache holds; `feeds` and `fetches` carry everything but ids, lengths and caches. */
  async run(
    parts: readonly TargetPart[],
    feeds: Record<string, ort.Tensor>,
    fetches: Record<string, ort.Tensor>,
  ): Promise<void> {
    if (parts.length !== this.numSequences)
      throw new Error(`expected parts of ${this.numSequences} sequences, got ${parts.length}`);
    const widths = this.widths.data as BigInt64Array;
    const totalLengths = this.totalLengths.data as Int32Array;
    let numTokens = 0;
    for (const [sequence, { tokenIds, ...part }] of parts.entries()) {
      const cache = part.cache as OnnxKvCache;
      for (const tokenId of tokenIds) {
        this.tokenIds[numTokens] = BigInt(tokenId);
        numTokens += 1;
      }
      cache.append(tokenIds.length);
      widths[sequence] = BigInt(tokenIds.length);
      totalLengths[sequence] = cache.length;
      for (const [layer, names] of this.names[sequence]!.entries()) {
        const key = cache.keys[layer]!;
        const value = cache.values[layer]!;
        feeds[names.pastKey] = key;
        feeds[names.pastValue] = value;
        fetches[names.presentKey] = key;
        fetches[names.presentValue] = value;
      }
    }
    feeds['input_ids'] = this.tokenTensors[numTokens]!;
    feeds['widths'] = this.widths;
    feeds['total_lengths'] = this.totalLengths;
    await runInto(this.session, feeds, fetches);
  }

  async close(): Promise<void> {
    await this.session.release();
  }
}

/** What such a graph must take besides the tensors of its own kind. */
export function expectedSharedInputs(config: GraphConfig, numSequences: number): ExpectedTensor[] {
  const shape = [null, config.num_key_value_heads, null, config.head_size];
  const caches = cacheNames(numSequences, config.num_hidden_layers)
    .flat()
    .flatMap(({ pastKey, pastValue }) => [pastKey, pastValue]);
  return [
    { name: 'input_ids', type: 'int64', shape: [null, null] },
    { name: 'widths', type: 'int64', shape: [numSequences] },
    { name: 'total_lengths', type: 'int32', shape: [numSequences] },
    ...caches.map((name) => ({ name, type: 'float32', shape })),
  ];
}

export function expectedSharedCaches(config: GraphConfig, numSequences: number): ExpectedTensor[] {
  const shape = [null, config.num_key_value_heads, null, config.head_size];
  return cacheNames(numSequences, config.num_hidden_layers)
    .flat()
    .flatMap(({ presentKey, presentValue }) => [presentKey, presentValue])
    .map((name) => ({ name, type: 'float32', shape }));
}
