/** Target and MTP module for several sequences at once, on ONNX Runtime. */
import { join } from 'node:path';
import type { GraphConfig, ModelManifest } from './manifest.ts';
import { letMessagesIn } from './message-turn.ts';
import type { BoundTensor } from './native-session.ts';
import { NUM_MTP_THREADS } from './onnx-mtp-module.ts';
import { expectedSharedCaches, expectedSharedInputs, OnnxSharedGraph } from './onnx-shared-graph.ts';
import { checkTensors, openSession, type ExpectedTensor, type SessionSettings } from './session.ts';
import {
  padded,
  type ExactWidths,
  type MtpOutput,
  type MtpPart,
  type SharedModels,
  type SharedMtp,
  type SharedTarget,
  type TargetOutput,
  type TargetPart,
} from './target-model.ts';

/** Rows of a buffer, as a tensor and as views, made once for each number of rows. */
class RowBuffer {
  readonly data: Float32Array; // [maxRows, rowSize]
  private readonly rowSize: number;
  private readonly tensors = new Map<number, BoundTensor>();

  constructor(maxRows: number, rowSize: number) {
    this.rowSize = rowSize;
    this.data = new Float32Array(maxRows * rowSize);
  }

  rows(first: number, count: number): Float32Array {
    return this.data.subarray(first * this.rowSize, (first + count) * this.rowSize);
  }

  firstRows(rows: Float32Array, count: number): Float32Array {
    return rows.subarray(0, count * this.rowSize);
  }

  /** [1, count, rowSize] */
  tensor(count: number): BoundTensor {
    const known = this.tensors.get(count);
    if (known !== undefined) return known;
    const made = { data: this.rows(0, count), dims: [1, count, this.rowSize] };
    this.tensors.set(count, made);
    return made;
  }
}

const numTokensOf = (parts: readonly TargetPart[]): number =>
  parts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);

class OnnxSharedTarget implements SharedTarget {
  readonly numSequences: number;
  readonly maxWidth: number;
  private readonly graph: OnnxSharedGraph;
  private readonly widths: ExactWidths;
  private readonly names: ModelManifest['target']['outputs'];
  private readonly logits: RowBuffer;
  private readonly hiddenStates: RowBuffer;

  constructor(graph: OnnxSharedGraph, manifest: ModelManifest, maxWidth: number, widths: ExactWidths) {
    this.graph = graph;
    this.numSequences = graph.numSequences;
    this.maxWidth = maxWidth;
    this.widths = widths;
    this.names = manifest.target.outputs;
    this.logits = new RowBuffer(graph.numSequences * maxWidth, manifest.vocabSize);
    this.hiddenStates = new RowBuffer(graph.numSequences * maxWidth, manifest.hiddenSize);
  }

  async forward(parts: readonly TargetPart[]): Promise<TargetOutput[]> {
    const lengths = parts.map(({ cache, tokenIds }) => cache.length + tokenIds.length);
    const outputs = await this.forwardAtWidth(
      parts.map(({ cache, tokenIds }) => ({ cache, tokenIds: padded(tokenIds, this.widths) })),
    );
    return parts.map(({ cache, tokenIds }, index) => {
      cache.rewindTo(lengths[index]!);
      const { logits, hiddenStates } = outputs[index]!;
      return {
        logits: this.logits.firstRows(logits, tokenIds.length),
        hiddenStates: this.hiddenStates.firstRows(hiddenStates, tokenIds.length),
      };
    });
  }

  async forwardAtWidth(parts: readonly TargetPart[]): Promise<TargetOutput[]> {
    const numTokens = numTokensOf(parts);
    const tensors = {
      [this.names.logits]: this.logits.tensor(numTokens),
      [this.names.hidden_states]: this.hiddenStates.tensor(numTokens),
    };
    await letMessagesIn();
    this.graph.run(parts, {}, tensors);
    let first = 0;
    return parts.map(({ tokenIds }) => {
      const output = {
        logits: this.logits.rows(first, tokenIds.length),
        hiddenStates: this.hiddenStates.rows(first, tokenIds.length),
      };
      first += tokenIds.length;
      return output;
    });
  }

  async close(): Promise<void> {
    this.graph.close();
  }
}

class OnnxSharedMtp implements SharedMtp {
  readonly maxWidth: number;
  private readonly graph: OnnxSharedGraph;
  private readonly config: NonNullable<ModelManifest['mtp']>;
  private readonly hiddenSize: number;
  private readonly inputStates: RowBuffer;
  private readonly outputStates: RowBuffer;
  private readonly logits: RowBuffer;

  constructor(
    graph: OnnxSharedGraph,
    config: NonNullable<ModelManifest['mtp']>,
    manifest: ModelManifest,
    maxWidth: number,
  ) {
    this.graph = graph;
    this.config = config;
    this.maxWidth = maxWidth;
    this.hiddenSize = manifest.hiddenSize;
    const maxRows = graph.numSequences * maxWidth;
    this.inputStates = new RowBuffer(maxRows, manifest.hiddenSize);
    this.outputStates = new RowBuffer(maxRows, manifest.hiddenSize);
    this.logits = new RowBuffer(graph.numSequences, manifest.vocabSize);
  }

  async forward(parts: readonly MtpPart[]): Promise<MtpOutput[]> {
    const numTokens = numTokensOf(parts);
    let first = 0;
    for (const { tokenIds, hiddenStates } of parts) {
      this.inputStates.data.set(hiddenStates, first * this.hiddenSize);
      first += tokenIds.length;
    }
    const { inputs, outputs } = this.config;
    this.graph.run(
      parts,
      { [inputs.hidden_states]: this.inputStates.tensor(numTokens) },
      {
        [outputs.logits]: this.logits.tensor(parts.length),
        [outputs.hidden_states]: this.outputStates.tensor(numTokens),
      },
    );
    first = 0;
    return parts.map(({ tokenIds }, index) => {
      const hiddenStates = this.outputStates.rows(first, tokenIds.length);
      first += tokenIds.length;
      return { logits: this.logits.rows(index, 1), hiddenStates };
    });
  }

  async close(): Promise<void> {
    this.graph.close();
  }
}

/** Opens and checks the graphs of a pass for several sequences. `maxWidth` bounds the tokens of each. */
export async function loadSharedModels(
  manifest: ModelManifest,
  files: ModelManifest['sharedPasses'][number],
  maxWidth: number,
  { numThreads, weights }: SessionSettings,
  widths: ExactWidths,
): Promise<SharedModels> {
  const { numSequences } = files;
  const { vocabSize, hiddenSize } = manifest;
  const states = { type: 'float32', shape: [null, null, hiddenSize] };
  const open = (
    filename: string,
    config: GraphConfig,
    moreInputs: readonly ExpectedTensor[],
    numLogits: number | null,
    threads: number,
  ): OnnxSharedGraph => {
    const path = join(manifest.folder, filename);
    const session = openSession(path, { numThreads: threads, weights });
    checkTensors(path, 'input', session.inputMetadata, [
      ...expectedSharedInputs(config, numSequences),
      ...moreInputs,
    ]);
    checkTensors(path, 'output', session.outputMetadata, [
      { name: config.outputs.logits, type: 'float32', shape: [null, numLogits, vocabSize] },
      { name: config.outputs.hidden_states, ...states },
      ...expectedSharedCaches(config, numSequences),
    ]);
    return new OnnxSharedGraph(session, config, numSequences, maxWidth);
  };
  const graph = open(files.target, manifest.target, [], null, numThreads);
  const target = new OnnxSharedTarget(graph, manifest, maxWidth, widths);
  const { mtp } = manifest;
  if (mtp === null || files.mtp === undefined) return { target, mtp: null };
  const hiddenInput = { name: mtp.inputs.hidden_states, ...states };
  const mtpGraph = open(files.mtp, mtp, [hiddenInput], numSequences, NUM_MTP_THREADS);
  return { target, mtp: new OnnxSharedMtp(mtpGraph, mtp, manifest, maxWidth) };
}
