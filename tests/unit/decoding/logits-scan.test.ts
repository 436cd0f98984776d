import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { assembledFile, ASSEMBLED } from '../../../scripts/wasm/assemble.ts';
import { BEHIND_ALL, LogitsScan, NO_BOUND } from '../../../src/decoding/logits-scan.ts';
import { gumbel, positionKey, tokenBits } from '../../../src/decoding/random.ts';

const someLogits = (length: number): Float32Array =>
  Float32Array.from({ length }, (_, id) => 9 * Math.sin(id * id + length) - 4);

it('is assembled from its source', async () => {
  expect(await readFile(ASSEMBLED, 'utf8')).toBe(await assembledFile());
});

describe('LogitsScan', () => {
  it.each([1, 2, 3, 4, 5, 8, 17, 6144, 3])('takes in all of %i logits and no others', (length) => {
    const logits = someLogits(length);
    const scan = LogitsScan.holding(logits);
    expect(scan.logits).toEqual(logits);
    expect(scan.greatest()).toBe(Math.max(...logits));
    expect(scan.count(-Infinity)).toBe(length);
    for (const value of [-4, 0, 4.5, logits[0]!, 99])
      expect(scan.count(value)).toBe(logits.filter((logit) => logit > value).length);
  });

  it('keeps a copy', () => {
    const logits = someLogits(9);
    const scan = LogitsScan.holding(logits);
    scan.logits.fill(7);
    expect(logits).toEqual(someLogits(9));
    expect(scan.greatest()).toBe(7);
  });

  it.each([0.001, 1, 1.25, 20, 1e5])('adds up exponentials of logits times %d', (scale) => {
    for (const length of [1, 7, 6144]) {
      const logits = someLogits(length);
      if (length > 1) logits[1] = -Infinity;
      const scan = LogitsScan.holding(logits);
      const greatest = scan.greatest();
      const exact = (belongs: (logit: number, id: number) => boolean): number =>
        logits.reduce(
          (sum, logit, id) => (belongs(logit, id) ? sum + Math.exp((logit - greatest) * scale) : sum),
          0,
        );
      const all = scan.mass(scale, greatest, NO_BOUND);
      expect(Math.abs(all / exact((logit) => logit > -Infinity) - 1)).toBeLessThan(1e-6 * Math.max(1, scale));
      for (const id of [0, 4, length - 1].filter((index) => index < length)) {
        const { value, tokenId } = scan.boundAt(id);
        const expected = exact((logit, index) => logit > value || (logit === value && index < tokenId));
        expect(Math.abs(scan.mass(scale, greatest, { value, tokenId }) - expected)).toBeLessThan(1e-5 * all);
      }
    }
  });

  it('parts equals by their ids', () => {
    const scan = LogitsScan.holding(Float32Array.of(1, 2, 1, 2, 1, 2));
    const mass = (value: number, tokenId: number): number => scan.mass(1, 2, { value, tokenId });
    expect(mass(2, 0)).toBe(0);
    expect(mass(2, 1)).toBe(0);
    expect(mass(2, 2)).toBe(1);
    expect(mass(2, 5)).toBe(2);
    expect(mass(2, BEHIND_ALL)).toBe(3);
    expect(mass(1, 3)).toBeCloseTo(3 + 2 / Math.E, 6);
    scan.findNoisy(1e5, 1, { value: 2, tokenId: 2 });
    expect([scan.tokenId, scan.nextTokenId, scan.lead]).toEqual([1, -1, Infinity]);
    scan.findNoisy(1e5, 1, { value: 2, tokenId: 4 });
    expect([scan.tokenId, scan.nextTokenId].toSorted((a, b) => a - b)).toEqual([1, 3]);
  });

  it.each([0.01, 1, 1.25, 50, 1e5])('finds the two greatest with noise, logits times %d', (scale) => {
    const logits = someLogits(20_000);
    const scan = LogitsScan.holding(logits);
    for (let position = 0; position < 20; position += 1) {
      const key = positionKey(3, position);
      const scores = logits.reduce<number[]>((all, logit, id) => {
        all.push(logit * scale + gumbel(tokenBits(key, id)));
        return all;
      }, []);
      const [first, second] = scores.toSorted((a, b) => b - a);
      scan.findNoisy(scale, key, NO_BOUND);
      expect(scan.tokenId).toBe(scores.indexOf(first!));
      expect(scan.nextTokenId).toBe(scores.indexOf(second!));
      expect(scan.lead).toBe(first! - second!);
    }
  });
});
