/**
 * What the graphs' attention must be told of one sequence: where its tokens stand, and what each of them may look at
 * (scripts/train/foretoken_train/cached_attention.py). Tensors are used again.
 */
import type { BoundTensor } from './native-session.ts';

/** What softmax makes 0 of, and no sum makes infinite. */
const UNSEEN = -1e30;

/** 0 up to a token's own position, UNSEEN behind. */
export class AttentionBias {
  private readonly groupSize: number;
  private numbers = new Float32Array(0); // of the largest tensor so far
  private tensors: (BoundTensor<Float32Array> | undefined)[] = []; // by width, the latest

  /** `groupSize`: query heads to a key-value head. */
  constructor(groupSize: number) {
    this.groupSize = groupSize;
  }

  /** [width, groupSize, boundLength], for `width` tokens behind `pastLength` positions; the next call overwrites it. */
  tensor(pastLength: number, width: number, boundLength: number): BoundTensor<Float32Array> {
    const { groupSize } = this;
    const tensor = this.unfilled(width, boundLength);
    const numbers = tensor.data;
    for (let row = 0; row < width * groupSize; row += 1) {
      const start = row * boundLength;
      const seen = start + pastLength + Math.floor(row / groupSize) + 1;
      numbers.fill(0, start, seen);
      numbers.fill(UNSEEN, seen, start + boundLength);
    }
    return tensor;
  }

  private unfilled(width: number, boundLength: number): BoundTensor<Float32Array> {
    const size = width * this.groupSize * boundLength;
    if (size > this.numbers.length) {
      this.numbers = new Float32Array(Math.max(size, 2 * this.numbers.length));
      this.tensors = [];
    }
    const known = this.tensors[width];
    if (known?.dims[2] === boundLength) return known;
    const dims = [width, this.groupSize, boundLength];
    return (this.tensors[width] = { data: this.numbers.subarray(0, size), dims });
  }
}

/** Integers of up to `maxWidth` tokens, [1, width]. */
export class TokenIntegers {
  readonly numbers: BigInt64Array; // [maxWidth]
  private readonly tensors: readonly BoundTensor[]; // by width

  constructor(maxWidth: number) {
    this.numbers = new BigInt64Array(maxWidth);
    this.tensors = Array.from({ length: maxWidth + 1 }, (_, width) => ({
      data: this.numbers.subarray(0, width),
      dims: [1, width],
    }));
  }

  tensor(width: number): BoundTensor {
    return this.tensors[width]!;
  }
}
