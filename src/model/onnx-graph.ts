/**
 * One decoder graph with its KV cache bound in place and its outputs in buffers that are reused. Shared by target
 * and MTP module, which differ only in their other tensors. Knows nothing of tokens' meaning.
 */
import { ForetokenError } from '../errors.ts';
import { AttentionBias, TokenIntegers } from './attention-inputs.ts';
import { numCachesOf } from './kv-capacity.ts';
import type { GraphConfig } from './manifest.ts';
import type { BoundTensor, BoundTensors, NativeBinding, NativeSession, Places } from './native-session.ts';
import type { BoundCaches, OnnxKvCache } from './onnx-kv-cache.ts';
import type { ExpectedTensor } from './session.ts';

/** Fixed: genai_config.json has no place for them. */
const PAST_LENGTHS = 'past_lengths';
const ATTENTION_BIAS = 'attention_bias';

const perCache = (pattern: string, config: GraphConfig): string[] =>
  Array.from({ length: numCachesOf(config) }, (_, cache) => pattern.replace('%d', String(cache)));

function placesOf(past: string, present: string, config: GraphConfig): Required<Places>[] {
  const outputs = perCache(present, config);
  return perCache(past, config).map((input, cache) => ({ input, output: outputs[cache]! }));
}

/** One sequence's caches as the session has them. */
interface BoundSequence {
  readonly binding: NativeBinding;
  caches: BoundCaches | null;
}

export class OnnxGraph {
  readonly config: GraphConfig;
  private readonly session: NativeSession;
  private readonly keys: readonly Required<Places>[]; // [numCaches]
  private readonly values: readonly Required<Places>[];
  private readonly tokenIds: TokenIntegers;
  private readonly positionIds: TokenIntegers;
  private readonly pastLengths: BoundTensor<BigInt64Array> = { data: new BigInt64Array(1), dims: [1] };
  private readonly bias: AttentionBias;
  /** One for each sequence, gone with its cache: binding two tensors for each layer takes as long as a draft. */
  private readonly sequences = new WeakMap<OnnxKvCache, BoundSequence>();

  constructor(session: NativeSession, config: GraphConfig, maxWidth: number) {
    this.session = session;
    this.config = config;
    const { inputs, outputs } = config;
    this.keys = placesOf(inputs.past_key_names, outputs.present_key_names, config);
    this.values = placesOf(inputs.past_value_names, outputs.present_value_names, config);
    this.tokenIds = new TokenIntegers(maxWidth);
    this.positionIds = new TokenIntegers(maxWidth);
    this.bias = new AttentionBias(groupSizeOf(session, ATTENTION_BIAS));
  }

  /** Runs `tokenIds` behind what the cache holds; `inputs` and `outputs` are all but caches and positions. */
  run(cache: OnnxKvCache, tokenIds: readonly number[], inputs: BoundTensors, outputs: BoundTensors): void {
    const width = tokenIds.length;
    const pastLength = cache.length;
    cache.append(width);
    for (let index = 0; index < width; index += 1) {
      this.tokenIds.numbers[index] = BigInt(tokenIds[index]!);
      this.positionIds.numbers[index] = BigInt(pastLength + index);
    }
    this.pastLengths.data[0] = BigInt(pastLength);
    const caches = cache.bind();
    const names = this.config.inputs;
    this.bindingOf(cache, caches).run(
      {
        ...inputs,
        [names.input_ids]: this.tokenIds.tensor(width),
        [names.position_ids]: this.positionIds.tensor(width),
        [PAST_LENGTHS]: this.pastLengths,
        [ATTENTION_BIAS]: this.bias.tensor(pastLength, width, caches.boundLength),
      },
      outputs,
    );
  }

  private bindingOf(cache: OnnxKvCache, caches: BoundCaches): NativeBinding {
    let sequence = this.sequences.get(cache);
    if (sequence === undefined) {
      sequence = { binding: this.session.newBinding(), caches: null };
      this.sequences.set(cache, sequence);
    }
    const { binding } = sequence;
    if (sequence.caches === caches) return binding;
    // Lest a bind that throws midway leaves the old ones believed.
    sequence.caches = null;
    for (const [index, places] of this.keys.entries()) {
      binding.bind(caches.keys[index]!, places);
      binding.bind(caches.values[index]!, this.values[index]!);
    }
    sequence.caches = caches;
    return binding;
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
