/**
 * Weights that all sessions of a process have in common, whichever thread opens them. ONNX Runtime packs matrices for its
 * kernels in each session anew; of weights that it is given, and not left to read, it keeps what it packed in a container,
 * and takes from there what is the same to the byte (OrtApi::AddInitializer, CreateSessionWithPrepackedWeightsContainer).
 */
import { readdir } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { externalInitializers, type ExternalInitializer } from './external-initializers.ts';
import { mapFile, type MappedFile } from './mapped-file.ts';
import type { Pointer } from './native-library.ts';
import * as ort from './onnxruntime.ts';

/** Addresses: other threads may be told them, and may use them until the owner releases the weights. */
export interface SharedWeights {
  readonly packed: Pointer;
  /** By the path of a graph. */
  readonly graphs: Readonly<Record<string, readonly SharedInitializer[]>>;
}

export interface SharedInitializer {
  readonly name: string;
  readonly value: Pointer;
}

/** Whoever keeps the weights must be the last to have them: it outlives all sessions, and the threads that open them. */
export class WeightOwner {
  readonly weights: SharedWeights;
  private readonly graphs: Record<string, SharedInitializer[]> = {};
  private readonly files = new Map<string, MappedFile>(); // by path
  private readonly values = new Map<string, Pointer>(); // by what they are of

  /** Of all graphs of a model folder. Throws what reading the folder throws. */
  static async of(modelFolder: string): Promise<WeightOwner> {
    const owner = new WeightOwner();
    const folder = resolve(modelFolder);
    for (const name of await readdir(folder))
      if (name.endsWith('.onnx')) await owner.add(folder, join(folder, name));
    return owner;
  }

  private constructor() {
    this.weights = { packed: ort.createPackedWeights(), graphs: this.graphs };
  }

  /** Of what is wrong with a graph or its weights ONNX Runtime says more when it loads them, if ever. */
  private async add(folder: string, path: string): Promise<void> {
    try {
      const shared: SharedInitializer[] = [];
      for (const initializer of await initializersOf(path))
        shared.push({ name: initializer.name, value: await this.valueOf(folder, initializer) });
      this.graphs[path] = shared;
    } catch {
      return;
    }
  }

  private async valueOf(folder: string, initializer: ExternalInitializer): Promise<Pointer> {
    const { elementType, dims, location, offset, byteLength } = initializer;
    const key = JSON.stringify([location, offset, byteLength, elementType, dims]);
    const known = this.values.get(key);
    if (known !== undefined) return known;
    const { data } = await this.file(inside(folder, location));
    const part = data.subarray(offset, byteLength === undefined ? undefined : offset + byteLength);
    const sizes = BigInt64Array.from(dims, BigInt);
    const value = ort.createTensor(ort.cpuMemory, part, part.byteLength, sizes, dims.length, elementType);
    this.values.set(key, value);
    return value;
  }

  private async file(path: string): Promise<MappedFile> {
    const known = this.files.get(path);
    if (known !== undefined) return known;
    const file = await mapFile(path);
    this.files.set(path, file);
    return file;
  }

  /** No session that has them may be left. */
  release(): void {
    ort.releasePackedWeights(this.weights.packed);
    for (const value of this.values.values()) ort.releaseValue(value);
    for (const file of this.files.values()) file.release();
  }
}

/** As ONNX Runtime itself would have it of a graph that may come from anywhere. */
function inside(folder: string, location: string): string {
  const path = resolve(folder, location);
  if (relative(folder, path).startsWith('..')) throw new Error(`expected weights in ${folder}, got ${path}`);
  return path;
}

async function initializersOf(path: string): Promise<ExternalInitializer[]> {
  const graph = await mapFile(path);
  try {
    return externalInitializers(graph.data);
  } finally {
    graph.release();
  }
}
