/**
 * A decoder graph that takes the tokens of several sequences, one behind the other, and gives each its own attention
 * (scripts/train/foretoken_train/cached_attention.py). Shared by target and MTP module. Knows nothing of tokens'
 * meaning.
 */
import { AttentionBias, TokenIntegers } from './attention-inputs.ts';
import { numCachesOf } from './kv-capacity.ts';
import type { GraphConfig } from './manifest.ts';
import {
  integers,
  type BoundTensor,
  type Feeds,
  type Fetches,
  type NativeSession,
} from './native-session.ts';
import { expectedCache, groupSizeOf } from './onnx-graph.ts';
import type { OnnxKvCache } from './onnx-kv-cache.ts';
import type { ExpectedTensor } from './session.ts';
import type { TargetPart } from './target-model.ts';
import { runInto } from './uncopied-outputs.ts';

/** Of one sequence and cache: its names as key and value, past and present. */
interface CacheNames {
  readonly pastKey: string;
  readonly pastValue: string;
  readonly presentKey: string;
  readonly presentValue: string;
}

/** [numSequences][numCaches] */
function cacheNames(numSequences: number, config: GraphConfig): CacheNames[][] {
  return Array.from({ length: numSequences }, (_, sequence) =>
    Array.from({ length: numCachesOf(config) }, (__, cache) => ({
      pastKey: `past_key_values.${sequence}.${cache}.key`,
      pastValue: `past_key_values.${sequence}.${cache}.value`,
      presentKey: `present.${sequence}.${cache}.key`,
      presentValue: `present.${sequence}.${cache}.value`,
    })),
  );
}

const biasName = (sequence: number): string => `attention_bias.${sequence}`;

export class OnnxSharedGraph {
  readonly numSequences: number;
  private readonly session: NativeSession;
  private readonly names: readonly (readonly CacheNames[])[];
  private readonly biases: readonly AttentionBias[]; // [numSequences]
  private readonly tokenIds: TokenIntegers;
  private readonly positionIds: TokenIntegers;
  private readonly widths: BoundTensor<BigInt64Array>; // [numSequences]
  private readonly pastLengths: BoundTensor<BigInt64Array>; // [numSequences]

  constructor(session: NativeSession, config: GraphConfig, numSequences: number, maxWidth: number) {
    this.session = session;
    this.numSequences = numSequences;
    this.names = cacheNames(numSequences, config);
    this.biases = this.names.map(
      (_, sequence) => new AttentionBias(groupSizeOf(session, biasName(sequence))),
    );
    this.tokenIds = new TokenIntegers(numSequences * maxWidth);
    this.positionIds = new TokenIntegers(numSequences * maxWidth);
    this.widths = integers(new BigInt64Array(numSequences), [numSequences]);
    this.pastLengths = integers(new BigInt64Array(numSequences), [numSequences]);
  }

  /** Runs each part behind what its cache holds; `feeds` and `fetches` carry everything else but caches and positions. */
  run(parts: readonly TargetPart[], feeds: Feeds, fetches: Fetches): void {
    if (parts.length !== this.numSequences)
      throw new Error(`expected parts of ${this.numSequences} sequences, got ${parts.length}`);
    const widths = this.widths.data;
    const pastLengths = this.pastLengths.data;
    let numTokens = 0;
    for (const [sequence, { tokenIds, ...part }] of parts.entries()) {
      const cache = part.cache as OnnxKvCache;
      const pastLength = cache.length;
      cache.append(tokenIds.length);
      for (const [index, tokenId] of tokenIds.entries()) {
        this.tokenIds.numbers[numTokens] = BigInt(tokenId);
        this.positionIds.numbers[numTokens] = BigInt(pastLength + index);
        numTokens += 1;
      }
      widths[sequence] = BigInt(tokenIds.length);
      pastLengths[sequence] = BigInt(pastLength);
      const { keys, values, boundLength } = cache.bind();
      feeds[biasName(sequence)] = this.biases[sequence]!.tensor(pastLength, tokenIds.length, boundLength);
      for (const [index, names] of this.names[sequence]!.entries()) {
        const key = keys[index]!;
        const value = values[index]!;
        feeds[names.pastKey] = key;
        feeds[names.pastValue] = value;
        fetches[names.presentKey] = key;
        fetches[names.presentValue] = value;
      }
    }
    feeds['input_ids'] = this.tokenIds.tensor(numTokens);
    feeds['position_ids'] = this.positionIds.tensor(numTokens);
    feeds['widths'] = this.widths;
    feeds['past_lengths'] = this.pastLengths;
    runInto(this.session, feeds, fetches);
  }

  close(): void {
    this.session.release();
  }
}

/** What such a graph must take besides the tensors of its own kind. */
export function expectedSharedInputs(config: GraphConfig, numSequences: number): ExpectedTensor[] {
  const names = cacheNames(numSequences, config);
  return [
    { name: 'input_ids', type: 'int64', shape: [null, null] },
    { name: 'position_ids', type: 'int64', shape: [null, null] },
    { name: 'widths', type: 'int64', shape: [numSequences] },
    { name: 'past_lengths', type: 'int64', shape: [numSequences] },
    ...names.map((_, sequence) => ({
      name: biasName(sequence),
      type: 'float32' as const,
      shape: [null, null, null],
    })),
    ...names
      .flat()
      .flatMap(({ pastKey, pastValue }) => [pastKey, pastValue])
      .map((name) => expectedCache(name, config)),
  ];
}

export function expectedSharedCaches(config: GraphConfig, numSequences: number): ExpectedTensor[] {
  return cacheNames(numSequences, config)
    .flat()
    .flatMap(({ presentKey, presentValue }) => [presentKey, presentValue])
    .map((name) => expectedCache(name, config));
}
