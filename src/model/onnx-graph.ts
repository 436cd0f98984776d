/**
 * One decoder graph with its KV cache bound in place and its outputs in buffers that are reused. Shared by target
 * and MTP module, which differ only in their other tensors. Knows nothing of tokens' meaning.
 */
import { ForetokenError } from '../errors.ts';
import { AttentionBias, TokenIntegers } from './attention-inputs.ts';
import { numCachesOf } from './kv-capacity.ts';
import type { GraphConfig } from './manifest.ts';
import { integers, type Feeds, type Fetches, type NativeSession } from './native-session.ts';
import type { BoundCaches, OnnxKvCache } from './onnx-kv-cache.ts';
import type { ExpectedTensor } from './session.ts';
import { runInto } from './uncopied-outputs.ts';

/** Fixed: genai_config.json has no place for them. */
const PAST_LENGTHS = 'past_lengths';
const ATTENTION_BIAS = 'attention_bias';

const perCache = (pattern: string, config: GraphConfig): string[] =>
  Array.from({ length: numCachesOf(config) }, (_, cache) => pattern.replace('%d', String(cache)));

export class OnnxGraph {
  readonly config: GraphConfig;
  private readonly session: NativeSession;
  private readonly pastKeys: readonly string[];
  private readonly pastValues: readonly string[];
  private readonly presentKeys: readonly string[];
  private readonly presentValues: readonly string[];
  private readonly tokenIds: TokenIntegers;
  private readonly positionIds: TokenIntegers;
  private readonly pastLengths = integers(new BigInt64Array(1), [1]);
  private readonly bias: AttentionBias;
  /** Made once for the caches, since naming two for each layer takes as long as a kernel, and gone with them. */
  private readonly tensors = new WeakMap<BoundCaches, { readonly feeds: Feeds; readonly fetches: Fetches }>();

  constructor(session: NativeSession, config: GraphConfig, maxWidth: number) {
    this.session = session;
    this.config = config;
    this.pastKeys = perCache(config.inputs.past_key_names, config);
    this.pastValues = perCache(config.inputs.past_value_names, config);
    this.presentKeys = perCache(config.outputs.present_key_names, config);
    this.presentValues = perCache(config.outputs.present_value_names, config);
    this.tokenIds = new TokenIntegers(maxWidth);
    this.positionIds = new TokenIntegers(maxWidth);
    this.bias = new AttentionBias(groupSizeOf(session, ATTENTION_BIAS));
  }

  /** Runs `tokenIds` behind what the cache holds; `more` carries everything else but cache and positions. */
  run(
    cache: OnnxKvCache,
    tokenIds: readonly number[],
    more: { readonly feeds: Feeds; readonly fetches: Fetches },
  ): void {
    const width = tokenIds.length;
    const pastLength = cache.length;
    cache.append(width);
    for (let index = 0; index < width; index += 1) {
      this.tokenIds.numbers[index] = BigInt(tokenIds[index]!);
      this.positionIds.numbers[index] = BigInt(pastLength + index);
    }
    this.pastLengths.data[0] = BigInt(pastLength);
    const caches = cache.bind();
    const { feeds, fetches } = this.tensorsOf(caches);
    Object.assign(feeds, more.feeds);
    Object.assign(fetches, more.fetches);
    const { inputs } = this.config;
    feeds[inputs.input_ids] = this.tokenIds.tensor(width);
    feeds[inputs.position_ids] = this.positionIds.tensor(width);
    feeds[PAST_LENGTHS] = this.pastLengths;
    feeds[ATTENTION_BIAS] = this.bias.tensor(pastLength, width, caches.boundLength);
    runInto(this.session, feeds, fetches);
  }

  private tensorsOf(caches: BoundCaches): { readonly feeds: Feeds; readonly fetches: Fetches } {
    const known = this.tensors.get(caches);
    if (known !== undefined) return known;
    const made: { readonly feeds: Feeds; readonly fetches: Fetches } = { feeds: {}, fetches: {} };
    for (const [index, key] of caches.keys.entries()) {
      const value = caches.values[index]!;
      made.feeds[this.pastKeys[index]!] = key;
      made.feeds[this.pastValues[index]!] = value;
      made.fetches[this.presentKeys[index]!] = key;
      made.fetches[this.presentValues[index]!] = value;
    }
    this.tensors.set(caches, made);
    return made;
  }

  close(): void {
    this.session.release();
  }
}

/** What a decoder graph must take besides the tensors of its own kind. */
export function expectedInputs(config: GraphConfig): ExpectedTensor[] {
  const caches = [config.inputs.past_key_names, config.inputs.past_value_names];
  return [
    { name: config.inputs.input_ids, type: 'int64', shape: [null, null] },
    { name: config.inputs.position_ids, type: 'int64', shape: [null, null] },
    { name: PAST_LENGTHS, type: 'int64', shape: [1] },
    { name: ATTENTION_BIAS, type: 'float32', shape: [null, null, null] },
    ...caches.flatMap((pattern) => perCache(pattern, config)).map((name) => expectedCache(name, config)),
  ];
}

export function expectedOutputs(
  config: GraphConfig,
  vocabSize: number,
  hiddenSize: number,
): ExpectedTensor[] {
  const caches = [config.outputs.present_key_names, config.outputs.present_value_names];
  return [
    { name: config.outputs.logits, type: 'float32', shape: [null, null, vocabSize] },
    { name: config.outputs.hidden_states, type: 'float32', shape: [null, null, hiddenSize] },
    ...caches.flatMap((pattern) => perCache(pattern, config)).map((name) => expectedCache(name, config)),
  ];
}

export function expectedCache(name: string, config: GraphConfig): ExpectedTensor {
  return { name, type: 'float32', shape: [1, null, config.head_size] };
}

/** Query heads to a key-value head: the second size of a checked graph's bias. Throws ForetokenError `invalid_model`. */
export function groupSizeOf(session: NativeSession, bias: string): number {
  const tensor = session.inputMetadata.find(({ name }) => name === bias);
  const size = tensor?.isTensor === true ? tensor.shape[1] : undefined;
  if (typeof size === 'number') return size;
  throw new ForetokenError(
    'invalid_model',
    `expected the graph to fix the second size of input '${bias}', the query heads to a key-value head, found ${size}`,
    bias,
  );
}
