/** Opens ONNX graphs and checks that they are what the manifest says. Knows nothing of sequences. */
import { ForetokenError } from '../errors.ts';
import { NativeSession, type TensorMetadata } from './native-session.ts';
import type { SharedWeights } from './shared-weights.ts';

const NEVER_SPIN = { 'session.intra_op.allow_spinning': '0' };
const SPIN_IN_FORWARDS = { 'session.force_spinning_stop': '1' };

export interface SessionSettings {
  readonly numThreads: number;
  /** Where to write ONNX Runtime's trace of all runs; absent: none is made. */
  readonly profilePrefix?: string | undefined;
  /** What sessions of this process have in common; absent: nothing. */
  readonly weights?: SharedWeights | undefined;
}

/**
 * Threads spin, if there are several, while a forward runs and at no other time: they would take the cores from the
 * other session, from the main thread, and from whatever else the machine does.
 */
export function openSession(path: string, settings: SessionSettings): NativeSession {
  const { weights, ...others } = settings;
  const entries = settings.numThreads > 1 ? SPIN_IN_FORWARDS : NEVER_SPIN;
  const initializers = weights?.graphs[path];
  const shared = initializers && { initializers, packed: weights.packed };
  try {
    return new NativeSession(path, { ...others, entries, shared });
  } catch (err) {
    // Its words go over several lines.
    const reason = (err as Error).message.replaceAll(/\s+/g, ' ').trim();
    throw new ForetokenError('invalid_model', `${path}: ONNX Runtime cannot load it: ${reason}`, path);
  }
}

export interface ExpectedTensor {
  readonly name: string;
  readonly type: string;
  /** Numbers must match where the graph fixes a size; null stands for any. */
  readonly shape: readonly (number | null)[];
}

/** Throws ForetokenError `invalid_model` with the tensor's name, what was expected and what the graph has. */
export function checkTensors(
  path: string,
  kind: 'input' | 'output',
  found: readonly TensorMetadata[],
  expected: readonly ExpectedTensor[],
): void {
  for (const tensor of expected) {
    const actual = found.find((candidate) => candidate.name === tensor.name);
    const wanted = `${tensor.type} [${tensor.shape.map((size) => size ?? '?').join(', ')}]`;
    if (actual === undefined || !actual.isTensor) {
      const names = found.map((candidate) => candidate.name).join(', ');
      throw new ForetokenError(
        'invalid_model',
        `${path}: expected ${kind} '${tensor.name}' (${wanted}), the graph has: ${names}`,
        path,
      );
    }
    const fits =
      actual.type === tensor.type &&
      actual.shape.length === tensor.shape.length &&
      tensor.shape.every((size, axis) => {
        const actualSize = actual.shape[axis];
        return size === null || typeof actualSize !== 'number' || actualSize === size;
      });
    if (!fits) {
      throw new ForetokenError(
        'invalid_model',
        `${path}: expected ${kind} '${tensor.name}' to be ${wanted}, found ${actual.type} [${actual.shape.join(', ')}]`,
        path,
      );
    }
  }
  const unknown = found.filter((candidate) => !expected.some((tensor) => tensor.name === candidate.name));
  if (kind === 'input' && unknown.length > 0) {
    throw new ForetokenError('invalid_model', `${path}: unexpected input '${unknown[0]!.name}'`, path);
  }
}
