/** The MTP module on ONNX Runtime. Its graph gives the logits of the last position only: the output head is dear. */
import { join } from 'node:path';
import { ForetokenError } from '../errors.ts';
import type { ModelManifest } from './manifest.ts';
import type { BoundTensors } from './native-session.ts';
import { expectedInputs, expectedOutputs, OnnxGraph } from './onnx-graph.ts';
import type { OnnxKvCache } from './onnx-kv-cache.ts';
import { checkTensors, openSession, type SessionSettings } from './session.ts';
import type { KvCache, MtpModule, MtpOutput } from './target-model.ts';

/**
 * The MTP module is small: on one thread it is about as fast as on several, and has no idle threads that could take
 * the target's cores.
 */
export const NUM_MTP_THREADS = 1;

type MtpConfig = NonNullable<ModelManifest['mtp']>;

export class OnnxMtpModule implements MtpModule {
  readonly maxWidth: number;
  private readonly graph: OnnxGraph;
  private readonly hiddenSize: number;
  private readonly inputStates: Float32Array; // [maxWidth, hiddenSize]
  private readonly buffers: {
    readonly views: MtpOutput;
    readonly inputs: BoundTensors;
    readonly outputs: BoundTensors;
  }[] = [];

  constructor(graph: OnnxGraph, config: MtpConfig, vocabSize: number, hiddenSize: number, maxWidth: number) {
    this.graph = graph;
    this.hiddenSize = hiddenSize;
    this.maxWidth = maxWidth;
    this.inputStates = new Float32Array(maxWidth * hiddenSize);
    const logits = new Float32Array(vocabSize);
    const outputStates = new Float32Array(maxWidth * hiddenSize);
    for (let width = 0; width <= maxWidth; width += 1) {
      const shape = [1, width, hiddenSize];
      const hiddenStates = outputStates.subarray(0, width * hiddenSize);
      this.buffers.push({
        views: { logits, hiddenStates },
        inputs: {
          [config.inputs.hidden_states]: {
            data: this.inputStates.subarray(0, width * hiddenSize),
            dims: shape,
          },
        },
        outputs: {
          [config.outputs.logits]: { data: logits, dims: [1, 1, vocabSize] },
          [config.outputs.hidden_states]: { data: hiddenStates, dims: shape },
        },
      });
    }
  }

  async forward(cache: KvCache, tokenIds: readonly number[], hiddenStates: Float32Array): Promise<MtpOutput> {
    const width = tokenIds.length;
    if (hiddenStates.length !== width * this.hiddenSize)
      throw new Error(
        `expected ${width} hidden states of ${this.hiddenSize}, got ${hiddenStates.length} numbers`,
      );
    const { views, inputs, outputs } = this.buffers[width]!;
    this.inputStates.set(hiddenStates);
    this.graph.run(cache as OnnxKvCache, tokenIds, inputs, outputs);
    return views;
  }

  async close(): Promise<void> {
    this.graph.close();
  }
}

/** Opens and checks the MTP module's graph; null for a model without one. */
export async function loadMtpModule(
  manifest: ModelManifest,
  maxWidth: number,
  settings: SessionSettings,
): Promise<OnnxMtpModule | null> {
  const config = manifest.mtp;
  if (config === null) return null;
  const { vocabSize, hiddenSize } = manifest;
  const path = join(manifest.folder, config.filename);
  const session = openSession(path, settings);
  checkTensors(path, 'input', session.inputMetadata, [
    ...expectedInputs(config),
    { name: config.inputs.hidden_states, type: 'float32', shape: [null, null, hiddenSize] },
  ]);
  checkTensors(path, 'output', session.outputMetadata, expectedOutputs(config, vocabSize, hiddenSize));
  const logits = session.outputMetadata.find((tensor) => tensor.name === config.outputs.logits);
  if (logits?.isTensor && logits.shape[1] !== 1) {
    throw new ForetokenError(
      'invalid_model',
      `${path}: expected '${logits.name}' to be of the last position only, [1, 1, ${vocabSize}], found [${logits.shape.join(', ')}]`,
      path,
    );
  }
  const graph = new OnnxGraph(session, config, maxWidth);
  return new OnnxMtpModule(graph, config, vocabSize, hiddenSize, maxWidth);
}
