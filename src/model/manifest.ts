/**
 * Reads and checks a model folder's configuration: onnxruntime-genai's genai_config.json, and foretoken.json beside it.
 * Knows nothing of sessions.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import Type, { type Static, type TSchema } from 'typebox';
import { Errors } from 'typebox/value';
import { ForetokenError } from '../errors.ts';

/** Far more than any model has; buffers of this many elements can still be asked for. */
const MAX_COUNT = 2 ** 24;
/** Sequences of one shared pass. */
const MAX_SHARING = 64;
const Count = Type.Integer({ minimum: 1, maximum: MAX_COUNT });
const TokenId = Type.Integer({ minimum: 0 });

const GraphInputs = Type.Object({
  input_ids: Type.String(),
  position_ids: Type.String(),
  past_key_names: Type.String(),
  past_value_names: Type.String(),
});

const GraphOutputs = Type.Object({
  logits: Type.String(),
  hidden_states: Type.String(),
  present_key_names: Type.String(),
  present_value_names: Type.String(),
});

const Graph = Type.Object({
  filename: Type.String(),
  num_hidden_layers: Count,
  num_key_value_heads: Count,
  head_size: Count,
  inputs: GraphInputs,
  outputs: GraphOutputs,
});

const Config = Type.Object({
  model: Type.Object({
    vocab_size: Count,
    context_length: Type.Integer({ minimum: 16, maximum: MAX_COUNT }),
    eos_token_id: Type.Union([TokenId, Type.Array(TokenId)]),
    decoder: Type.Intersect([Graph, Type.Object({ hidden_size: Count })]),
    mtp: Type.Optional(
      Type.Intersect([Graph, Type.Object({ inputs: Type.Object({ hidden_states: Type.String() }) })]),
    ),
  }),
});

/** foretoken.json: what onnxruntime-genai's configuration, which refuses foreign members, has no place for. */
const Extras = Type.Object({
  format_version: Type.Literal(1),
  num_spec_tokens: Type.Optional(Count),
  max_spec_tokens: Type.Optional(Count),
  fim: Type.Optional(
    Type.Object({
      prefix: TokenId,
      suffix: TokenId,
      middle: TokenId,
      order: Type.Optional(Type.Union([Type.Literal('psm'), Type.Literal('spm')])),
    }),
  ),
  shared_passes: Type.Optional(
    Type.Array(
      Type.Object({
        num_sequences: Type.Integer({ minimum: 2, maximum: MAX_SHARING }),
        target: Type.String(),
        mtp: Type.Optional(Type.String()),
      }),
    ),
  ),
  sha256: Type.Optional(Type.Record(Type.String(), Type.String())),
});

export type GraphConfig = Static<typeof Graph>;

/** How a prompt with a suffix is written: markers, and whether the prefix or the suffix stands first. */
export interface FimFormat {
  readonly prefix: number;
  readonly suffix: number;
  readonly middle: number;
  /**
   * `psm`: prefix, suffix, middle, each behind its marker. `spm`: markers of prefix and suffix, the suffix, the marker of
   * the middle, and the prefix, which the middle follows at once (Bavarian et al., arXiv 2207.14255, section 3).
   */
  readonly order: 'psm' | 'spm';
}

const DEFAULT_SPEC_TOKENS = 3;
const MAX_SPEC_TOKENS = 16;

/** A checked model folder. Paths are absolute. */
export interface ModelManifest {
  readonly folder: string;
  readonly id: string;
  /** Unix seconds of the configuration file. */
  readonly created: number;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly contextLength: number;
  readonly eosTokenIds: readonly number[];
  readonly target: GraphConfig;
  /** Absent: the model cannot draft, and decodes without speculation. */
  readonly mtp: (GraphConfig & { readonly inputs: { readonly hidden_states: string } }) | null;
  readonly numSpecTokens: number;
  readonly maxSpecTokens: number;
  readonly fim: FimFormat | null;
  readonly hasChatTemplate: boolean;
  /** Graphs that take several sequences in one pass; most sequences first. `mtp` is there where `mtp` of the model is. */
  readonly sharedPasses: readonly {
    readonly numSequences: number;
    readonly target: string;
    readonly mtp?: string;
  }[];
}

/** Throws ForetokenError `invalid_model` naming the file, what was expected and what was found. */
export async function readManifest(modelFolder: string): Promise<ModelManifest> {
  const folder = resolve(modelFolder);
  const path = join(folder, 'genai_config.json');
  const { model } = parseConfig(Config, await readText(path), path);
  const extrasPath = join(folder, 'foretoken.json');
  const extras = (await exists(extrasPath))
    ? parseConfig(Extras, await readText(extrasPath), extrasPath)
    : undefined;
  await checkHashes(folder, extras?.sha256 ?? {});
  const eosTokenIds = [model.eos_token_id].flat();
  const fim = extras?.fim === undefined ? null : { order: 'psm' as const, ...extras.fim };
  const fimTokenIds = fim === null ? [] : [fim.prefix, fim.suffix, fim.middle];
  checkTokenIds([...eosTokenIds, ...fimTokenIds], model.vocab_size, path);
  const hasMtp = model.mtp !== undefined;
  const maxSpecTokens = hasMtp ? (extras?.max_spec_tokens ?? MAX_SPEC_TOKENS) : 0;
  return {
    folder,
    id: basename(folder),
    created: Math.floor((await stat(path)).mtimeMs / 1000),
    vocabSize: model.vocab_size,
    hiddenSize: model.decoder.hidden_size,
    contextLength: model.context_length,
    eosTokenIds,
    target: model.decoder,
    mtp: model.mtp ?? null,
    numSpecTokens: Math.min(maxSpecTokens, extras?.num_spec_tokens ?? DEFAULT_SPEC_TOKENS),
    maxSpecTokens,
    fim,
    hasChatTemplate: await exists(join(folder, 'chat_template.jinja')),
    sharedPasses: sharedPasses(extras?.shared_passes ?? [], hasMtp),
  };
}

function sharedPasses(
  found: NonNullable<Static<typeof Extras>['shared_passes']>,
  hasMtp: boolean,
): ModelManifest['sharedPasses'] {
  return found
    .filter(({ mtp }) => mtp !== undefined || !hasMtp)
    .map(({ num_sequences: numSequences, ...files }) => ({ numSequences, ...files }))
    .toSorted((one, other) => other.numSequences - one.numSequences);
}

function parseConfig<Schema extends TSchema>(schema: Schema, text: string, path: string): Static<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (err) {
    throw new ForetokenError('invalid_model', `${path}: expected JSON: ${(err as Error).message}`, path);
  }
  const [first] = Errors(schema, value);
  if (first !== undefined) {
    throw new ForetokenError(
      'invalid_model',
      `${path}: ${first.instancePath || 'the file'} ${first.message}`,
      path,
    );
  }
  return value as Static<Schema>;
}

function checkTokenIds(tokenIds: readonly number[], vocabSize: number, path: string): void {
  const tooGreat = tokenIds.find((tokenId) => tokenId >= vocabSize);
  if (tooGreat === undefined) return;
  throw new ForetokenError(
    'invalid_model',
    `${path}: expected the ids of special tokens to be below the vocabulary's ${vocabSize}, found ${tooGreat}`,
    path,
  );
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (err) {
    const reason = (err as NodeJS.ErrnoException).code ?? String(err);
    throw new ForetokenError(
      'invalid_model',
      `expected a model folder with ${path}, could not read it: ${reason}`,
      path,
    );
  }
}

async function checkHashes(folder: string, expectedHashes: Readonly<Record<string, string>>): Promise<void> {
  for (const [file, expected] of Object.entries(expectedHashes)) {
    const path = join(folder, file);
    const hash = createHash('sha256');
    try {
      await pipeline(createReadStream(path), hash);
    } catch (err) {
      const reason = (err as NodeJS.ErrnoException).code ?? String(err);
      throw new ForetokenError(
        'invalid_model',
        `${path}: named in foretoken.json, could not be read: ${reason}`,
        path,
      );
    }
    const found = hash.digest('hex');
    if (found !== expected) {
      throw new ForetokenError('invalid_model', `${path}: expected sha256 ${expected}, found ${found}`, path);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
