/** The target model on ONNX Runtime. Its outputs are views into buffers that the next forward overwrites. */
import { join } from 'node:path';
import type { ModelManifest } from './manifest.ts';
import { letMessagesIn } from './message-turn.ts';
import type { BoundTensors } from './native-session.ts';
import { expectedInputs, expectedOutputs, OnnxGraph } from './onnx-graph.ts';
import type { OnnxKvCache } from './onnx-kv-cache.ts';
import { checkTensors, openSession, type SessionSettings } from './session.ts';
import {
  padded,
  type ExactWidths,
  type KvCache,
  type TargetModel,
  type TargetOutput,
} from './target-model.ts';

export class OnnxTargetModel implements TargetModel {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly maxWidth: number;
  /** As the exactness check found them. */
  widths: ExactWidths = { least: 2, multiple: 1 };
  private readonly graph: OnnxGraph;
  /** By width. */
  private readonly buffers: { readonly views: TargetOutput; readonly outputs: BoundTensors }[] = [];

  constructor(graph: OnnxGraph, manifest: ModelManifest, maxWidth: number) {
    this.graph = graph;
    this.vocabSize = manifest.vocabSize;
    this.hiddenSize = manifest.hiddenSize;
    this.maxWidth = maxWidth;
    const logits = new Float32Array(maxWidth * this.vocabSize);
    const hiddenStates = new Float32Array(maxWidth * this.hiddenSize);
    const names = manifest.target.outputs;
    for (let width = 0; width <= maxWidth; width += 1) {
      const views = {
        logits: logits.subarray(0, width * this.vocabSize),
        hiddenStates: hiddenStates.subarray(0, width * this.hiddenSize),
      };
      const outputs = {
        [names.logits]: { data: views.logits, dims: [1, width, this.vocabSize] },
        [names.hidden_states]: { data: views.hiddenStates, dims: [1, width, this.hiddenSize] },
      };
      this.buffers.push({ views, outputs });
    }
  }

  async forward(cache: KvCache, tokenIds: readonly number[]): Promise<TargetOutput> {
    const numTokens = tokenIds.length;
    const length = cache.length + numTokens;
    await this.forwardAtWidth(cache, padded(tokenIds, this.widths));
    cache.rewindTo(length);
    return this.buffers[numTokens]!.views;
  }

  async forwardAtWidth(cache: KvCache, tokenIds: readonly number[]): Promise<TargetOutput> {
    const { views, outputs } = this.buffers[tokenIds.length]!;
    await letMessagesIn();
    this.graph.run(cache as OnnxKvCache, tokenIds, {}, outputs);
    return views;
  }

  async close(): Promise<void> {
    this.graph.close();
  }
}

/** Opens and checks the target's graph. `maxWidth` bounds the tokens of one forward. */
export async function loadTargetModel(
  manifest: ModelManifest,
  maxWidth: number,
  settings: SessionSettings,
): Promise<OnnxTargetModel> {
  const config = manifest.target;
  const path = join(manifest.folder, config.filename);
  const session = openSession(path, settings);
  checkTensors(path, 'input', session.inputMetadata, expectedInputs(config));
  checkTensors(
    path,
    'output',
    session.outputMetadata,
    expectedOutputs(config, manifest.vocabSize, manifest.hiddenSize),
  );
  return new OnnxTargetModel(new OnnxGraph(session, config, maxWidth), manifest, maxWidth);
}
