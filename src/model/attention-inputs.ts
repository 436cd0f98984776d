/**
 * What the graphs' attention must be told of one sequence: where its tokens stand, and what each of them may look at
 * (scripts/train/foretoken_train/cached_attention.py). Buffers and tensors are made once.
 */
import * as ort from 'onnxruntime-node';

/** What softmax makes 0 of, and no sum makes infinite. */
const UNSEEN = -1e30;

/** 0 up to a token's own position, UNSEEN behind. */
export class AttentionBias {
  private readonly groupSize: number;
  private readonly numbers: Float32Array; // [maxWidth, groupSize, maxLength]
  private readonly tensors = new Map<number, ort.Tensor>();
  private readonly maxLength: number;

  /** `groupSize`: query heads to a key-value head. */
  constructor(groupSize: number, maxWidth: number, maxLength: number) {
    this.groupSize = groupSize;
    this.maxLength = maxLength;
    this.numbers = new Float32Array(maxWidth * groupSize * maxLength);
  }

  /** [width, groupSize, boundLength], for `width` tokens behind `pastLength` positions; the next call overwrites it. */
  tensor(pastLength: number, width: number, boundLength: number): ort.Tensor {
    const { groupSize, numbers } = this;
    for (let row = 0; row < width * groupSize; row += 1) {
      const start = row * boundLength;
      const seen = start + pastLength + Math.floor(row / groupSize) + 1;
      numbers.fill(0, start, seen);
      numbers.fill(UNSEEN, seen, start + boundLength);
    }
    const key = width * (this.maxLength + 1) + boundLength;
    let tensor = this.tensors.get(key);
    if (tensor === undefined) {
      const view = numbers.subarray(0, width * groupSize * boundLength);
      tensor = new ort.Tensor('float32', view, [width, groupSize, boundLength]);
      this.tensors.set(key, tensor);
    }
    return tensor;
  }
}

/** Integers of up to `maxWidth` tokens, [1, width]. */
export class TokenIntegers {
  readonly numbers: BigInt64Array; // [maxWidth]
  private readonly tensors: readonly ort.Tensor[]; // by width

  constructor(maxWidth: number) {
    this.numbers = new BigInt64Array(maxWidth);
    this.tensors = Array.from(
      { length: maxWidth + 1 },
      (_, width) => new ort.Tensor('int64', this.numbers.subarray(0, width), [1, width]),
    );
  }

  tensor(width: number): ort.Tensor {
    return this.tensors[width]!;
  }
}
