/**
 * A decoder graph that takes the tokens of several sequences, one behind the other, and gives each its own attention
 * (scripts/train/foretoken_train/cached_attention.py). Shared by target and MTP module. Knows nothing of tokens'
 * meaning.
 */
import { AttentionBias, TokenIntegers } from './attention-inputs.ts';
import { numCachesOf } from './kv-capacity.ts';
import type { GraphConfig } from './manifest.ts';
import type { BoundTensor, BoundTensors, NativeBinding, NativeSession, Places } from './native-session.ts';
import { expectedCache, groupSizeOf } from './onnx-graph.ts';
import type { BoundCaches, OnnxKvCache } from './onnx-kv-cache.ts';
import type { ExpectedTensor } from './session.ts';
import type { TargetPart } from './target-model.ts';

/** Of one sequence and cache. */
interface CachePlaces {
  readonly key: Required<Places>;
  readonly value: Required<Places>;
}

/** [numSequences][numCaches] */
function cachePlaces(numSequences: number, config: GraphConfig): CachePlaces[][] {
  return Array.from({ length: numSequences }, (_, sequence) =>
    Array.from({ length: numCachesOf(config) }, (__, cache) => {
      const placesOf = (side: string): Required<Places> => ({
        input: `past_key_values.${sequence}.${cache}.${side}`,
        output: `present.${sequence}.${cache}.${side}`,
      });
      return { key: placesOf('key'), value: placesOf('value') };
    }),
  );
}

const biasName = (sequence: number): string => `attention_bias.${sequence}`;

export class OnnxSharedGraph {
  readonly numSequences: number;
  private readonly session: NativeSession;
  private readonly binding: NativeBinding;
  private readonly places: readonly (readonly CachePlaces[])[];
  /** [numSequences]: whose caches are bound; of sequences that may be gone by now. */
  private readonly bound: (WeakRef<BoundCaches> | undefined)[] = [];
  private readonly biases: readonly AttentionBias[]; // [numSequences]
  private readonly tokenIds: TokenIntegers;
  private readonly positionIds: TokenIntegers;
  private readonly widths: BoundTensor<BigInt64Array>; // [numSequences]
  private readonly pastLengths: BoundTensor<BigInt64Array>; // [numSequences]

  constructor(session: NativeSession, config: GraphConfig, numSequences: number, maxWidth: number) {
    this.session = session;
    this.binding = session.newBinding();
    this.numSequences = numSequences;
    this.places = cachePlaces(numSequences, config);
    this.biases = this.places.map(
      (_, sequence) => new AttentionBias(groupSizeOf(session, biasName(sequence))),
    );
    this.tokenIds = new TokenIntegers(numSequences * maxWidth);
    this.positionIds = new TokenIntegers(numSequences * maxWidth);
    this.widths = { data: new BigInt64Array(numSequences), dims: [numSequences] };
    this.pastLengths = { data: new BigInt64Array(numSequences), dims: [numSequences] };
  }

  /** Runs each part behind what its cache holds; `inputs` and `outputs` are all but caches and positions. */
  run(parts: readonly TargetPart[], inputs: BoundTensors, outputs: BoundTensors): void {
    if (parts.length !== this.numSequences)
      throw new Error(`expected parts of ${this.numSequences} sequences, got ${parts.length}`);
    const widths = this.widths.data;
    const pastLengths = this.pastLengths.data;
    const biases: Record<string, BoundTensor> = {};
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
      const caches = cache.bind();
      biases[biasName(sequence)] = this.biases[sequence]!.tensor(
        pastLength,
        tokenIds.length,
        caches.boundLength,
      );
      this.bindCaches(sequence, caches);
    }
    this.binding.run(
      {
        ...inputs,
        ...biases,
        input_ids: this.tokenIds.tensor(numTokens),
        position_ids: this.positionIds.tensor(numTokens),
        widths: this.widths,
        past_lengths: this.pastLengths,
      },
      outputs,
    );
  }

  private bindCaches(sequence: number, caches: BoundCaches): void {
    if (this.bound[sequence]?.deref() === caches) return;
    // Lest a bind that throws midway leaves the old ones believed.
    this.bound[sequence] = undefined;
    for (const [index, { key, value }] of this.places[sequence]!.entries()) {
      this.binding.bind(caches.keys[index]!, key);
      this.binding.bind(caches.values[index]!, value);
    }
    this.bound[sequence] = new WeakRef(caches);
  }

  close(): void {
    this.session.release();
  }
}

/** What such a graph must take besides the tensors of its own kind. */
export function expectedSharedInputs(config: GraphConfig, numSequences: number): ExpectedTensor[] {
  const places = cachePlaces(numSequences, config);
  return [
    { name: 'input_ids', type: 'int64', shape: [null, null] },
    { name: 'position_ids', type: 'int64', shape: [null, null] },
    { name: 'widths', type: 'int64', shape: [numSequences] },
    { name: 'past_lengths', type: 'int64', shape: [numSequences] },
    ...places.map((_, sequence) => ({
      name: biasName(sequence),
      type: 'float32' as const,
      shape: [null, null, null],
    })),
    ...places
      .flat()
      .flatMap(({ key, value }) => [key.input, value.input])
      .map((name) => expectedCache(name, config)),
  ];
}

export function expectedSharedCaches(config: GraphConfig, numSequences: number): ExpectedTensor[] {
  return cachePlaces(numSequences, config)
    .flat()
    .flatMap(({ key, value }) => [key.output, value.output])
    .map((name) => expectedCache(name, config));
}
