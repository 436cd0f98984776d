import { describe, expect, it } from 'vitest';
import { gumbel, positionKey, tokenBits } from '../../../src/decoding/random.ts';
import { Sampler } from '../../../src/decoding/sampler.ts';
import type { SamplingParams } from '../../../src/decoding/sampling-params.ts';
import { chiSquare, chiSquareLimit, samplingParams, softmax } from '../../support/sampling.ts';
import { scriptedLogits, VOCAB_SIZE } from '../../support/scripted-model.ts';

const NUM_SEEDS = 20_000;

/** Counts of the token chosen at one position over many seeds. */
function countChoices(
  logits: Float32Array,
  params: Partial<SamplingParams>,
  history: readonly number[] = [],
): number[] {
  const counts = Array.from({ length: logits.length }, () => 0);
  for (let seed = 0; seed < NUM_SEEDS; seed += 1) {
    const sampler = new Sampler(samplingParams({ ...params, seed }), []);
    for (const tokenId of history) sampler.push(tokenId);
    counts[sampler.choose(logits, 17)]! += 1;
  }
  return counts;
}

function expectDistribution(counts: readonly number[], probabilities: readonly number[]): void {
  const { statistic, degreesOfFreedom } = chiSquare(counts, probabilities);
  expect(statistic).toBeLessThan(chiSquareLimit(degreesOfFreedom));
}

const restrictedTo = (kept: ReadonlySet<number>, probabilities: readonly number[]): number[] => {
  const total = probabilities.reduce((sum, value, index) => sum + (kept.has(index) ? value : 0), 0);
  return probabilities.map((value, index) => (kept.has(index) ? value / total : 0));
};

const descending = (probabilities: readonly number[]): number[] =>
  probabilities.map((_, index) => index).toSorted((a, b) => probabilities[b]! - probabilities[a]!);

/** What min_p, then top_k, then top_p leave, the most probable first. */
function remainingBySorting(
  given: Float32Array,
  { temperature, minP, topK, topP }: SamplingParams,
): readonly number[] {
  const probabilities = softmax(given, temperature);
  const floor = minP * Math.max(...probabilities);
  let kept = descending(probabilities).filter((id) => probabilities[id]! >= floor);
  if (topK > 0) kept = kept.slice(0, topK);
  const total = kept.reduce((sum, id) => sum + probabilities[id]!, 0);
  let covered = 0;
  return kept.filter((id) => {
    const isKept = covered < topP * total;
    covered += probabilities[id]!;
    return isKept;
  });
}

describe('Sampler', () => {
  const logits = scriptedLogits(12345);

  it.each([0.6, 1, 1.5])('samples the softmax at temperature %f over seeds', (temperature) => {
    expectDistribution(countChoices(logits, { temperature }), softmax(logits, temperature));
  });

  it.each([{}, { topK: 3 }, { topP: 0.9 }, { minP: 0.05 }, { repetitionPenalty: 1.3 }])(
    'samples among some tokens as if there were no others: %o',
    (params) => {
      const among = [2, 3, 5, 7, 11, 13];
      const few = Float32Array.from(among, (tokenId) => logits[tokenId]!);
      for (const temperature of [0, 0.8]) {
        const counts = new Set<number>();
        for (let seed = 0; seed < 300; seed += 1) {
          const sampler = new Sampler(samplingParams({ ...params, temperature, seed }), []);
          const tokenId = sampler.chooseAmong(among, logits, 17);
          expect(among).toContain(tokenId);
          counts.add(tokenId);
        }
        expect(counts).toContain(among[descending([...few])[0]!]);
        expect(counts.size > 1).toBe(temperature > 0);
      }
      expect(new Sampler(samplingParams({ ...params }), []).chooseAmong([4], logits, 1)).toBe(4);
    },
  );

  it('samples among two tokens by their odds', () => {
    const chosen = [0, 0];
    for (let seed = 0; seed < NUM_SEEDS; seed += 1) {
      const sampler = new Sampler(samplingParams({ temperature: 1, seed }), []);
      chosen[sampler.chooseAmong([3, 9], logits, 17) === 3 ? 0 : 1]! += 1;
    }
    expectDistribution(chosen, softmax(Float32Array.of(logits[3]!, logits[9]!), 1));
  });

  it('samples the softmax over positions under one seed', () => {
    const counts = Array.from({ length: VOCAB_SIZE }, () => 0);
    const sampler = new Sampler(samplingParams({ temperature: 1, seed: 3 }), []);
    for (let position = 0; position < NUM_SEEDS; position += 1)
      counts[sampler.choose(logits, position)]! += 1;
    expectDistribution(counts, softmax(logits, 1));
  });

  it('tells a wrong distribution from the right one', () => {
    const { statistic, degreesOfFreedom } = chiSquare(
      countChoices(logits, { temperature: 1.1 }),
      softmax(logits, 1),
    );
    expect(statistic).toBeGreaterThan(chiSquareLimit(degreesOfFreedom));
  });

  it('keeps the top_k most probable tokens', () => {
    const probabilities = softmax(logits, 1);
    const kept = new Set(descending(probabilities).slice(0, 5));
    expectDistribution(countChoices(logits, { temperature: 1, topK: 5 }), restrictedTo(kept, probabilities));
  });

  it('keeps the smallest set that reaches top_p', () => {
    const probabilities = softmax(logits, 1);
    const kept = new Set<number>();
    let covered = 0;
    for (const index of descending(probabilities)) {
      if (covered >= 0.7) break;
      kept.add(index);
      covered += probabilities[index]!;
    }
    expectDistribution(
      countChoices(logits, { temperature: 1, topP: 0.7 }),
      restrictedTo(kept, probabilities),
    );
  });

  it('keeps what is at least min_p times as probable as the best', () => {
    const probabilities = softmax(logits, 1);
    const floor = 0.2 * Math.max(...probabilities);
    const kept = new Set(descending(probabilities).filter((index) => probabilities[index]! >= floor));
    expectDistribution(
      countChoices(logits, { temperature: 1, minP: 0.2 }),
      restrictedTo(kept, probabilities),
    );
  });

  it('applies penalties and bias to the logits', () => {
    const history = [2, 2, 5];
    const params = { temperature: 1, presencePenalty: 0.5, frequencyPenalty: 0.25, repetitionPenalty: 1.4 };
    const bias = new Map([[7, 1.5]]);
    const adjusted = Array.from(logits, (logit, tokenId) => {
      const count = history.filter((past) => past === tokenId).length;
      const repeated = count === 0 ? logit : logit > 0 ? logit / 1.4 : logit * 1.4;
      return repeated - (count > 0 ? 0.5 : 0) - 0.25 * count + (bias.get(tokenId) ?? 0);
    });
    expectDistribution(countChoices(logits, { ...params, logitBias: bias }, history), softmax(adjusted, 1));
  });

  it('takes the greatest logit at temperature 0, the lowest id on a tie', () => {
    const sampler = new Sampler(samplingParams(), []);
    expect(sampler.choose(Float32Array.of(1, 3, 3, 2), 0)).toBe(1);
  });

  it('finds the greatest and the next best wherever they are', () => {
    for (const length of [1, 3, 4, 5, 8, 11]) {
      for (let first = 0; first < length; first += 1) {
        for (let second = 0; second < length; second += 1) {
          const values = new Float32Array(length).fill(-9);
          values[second] = 1;
          values[first] = 3;
          const greedy = new Sampler(samplingParams(), []);
          expect(greedy.choose(values, 0)).toBe(first);
          expect(greedy.margin).toBe(length === 1 ? Infinity : first === second ? 12 : 2);
        }
      }
    }
  });

  it('samples what a pass over every value with its noise gives', () => {
    for (let position = 0; position < 300; position += 1) {
      const key = positionKey(11, position);
      const values = Float32Array.from({ length: 500 }, (_, id) => 6 * Math.sin(id * (position + 1)));
      const scores = Array.from(values, (value, id) => value * (1 / 0.8) + gumbel(tokenBits(key, id)));
      const [first, second] = scores.toSorted((a, b) => b - a);
      const sampler = new Sampler(samplingParams({ temperature: 0.8, seed: 11 }), []);
      expect(sampler.choose(values, position)).toBe(scores.indexOf(first!));
      expect(sampler.margin).toBe(first! - second!);
    }
  });

  it.each([
    {},
    { topK: 1 },
    { topK: 40 },
    { topP: 0.9 },
    { topP: 0.3 },
    { minP: 0.05 },
    { topK: 300, topP: 0.5 },
    { minP: 0.001, topK: 100, topP: 0.99 },
  ])('samples among many what a pass over those that remain gives: %j', (given) => {
    for (const temperature of [0.1, 0.8, 2]) {
      const params = samplingParams({ ...given, temperature, seed: 7 });
      const sampler = new Sampler(params, []);
      for (let position = 0; position < 20; position += 1) {
        const many = Float32Array.from({ length: 3001 }, (_, id) => 8 * Math.sin(id * id + position));
        const key = positionKey(7, position);
        const scores = remainingBySorting(many, params).map((id) => ({
          id,
          score: many[id]! / temperature + gumbel(tokenBits(key, id)),
        }));
        const [first, second] = scores.toSorted((a, b) => b.score - a.score);
        expect(sampler.choose(many, position)).toBe(first!.id);
        const lead = second === undefined ? Infinity : first!.score - second.score;
        expect(sampler.margin).toBeCloseTo(lead, 9);
      }
    }
  });

  it('takes a temperature next to nothing for none', () => {
    const sampler = new Sampler(samplingParams({ temperature: Number.MIN_VALUE, topP: 0.9 }), []);
    for (let position = 0; position < 50; position += 1)
      expect(sampler.choose(Float32Array.of(-2, -1.001, -1), position)).toBe(2);
    const cold = new Sampler(samplingParams({ temperature: 2e-5 }), []);
    for (let position = 0; position < 50; position += 1)
      expect(cold.choose(Float32Array.of(-200, -101, -100), position)).toBe(2);
  });

  it('says how far its choice led, noise included', () => {
    const four = Float32Array.of(0.5, 1, -2, 3);
    const greedy = new Sampler(samplingParams(), []);
    greedy.choose(four, 0);
    expect(greedy.margin).toBe(2);
    const alone = new Sampler(samplingParams({ temperature: 1, topK: 1 }), []);
    alone.choose(four, 0);
    expect(alone.margin).toBe(Infinity);
    for (const more of [{}, { topK: 3 }]) {
      for (let position = 0; position < 50; position += 1) {
        const params = samplingParams({ ...more, temperature: 0.7, seed: 5 });
        const sampler = new Sampler(params, []);
        const chosen = sampler.choose(four, position);
        const key = positionKey(5, position);
        const allowed = more.topK === 3 ? [0, 1, 3] : [0, 1, 2, 3];
        const scores = allowed.map((tokenId) => four[tokenId]! / 0.7 + gumbel(tokenBits(key, tokenId)));
        const [first, second] = scores.toSorted((a, b) => b - a);
        expect(chosen).toBe(allowed[scores.indexOf(first!)]);
        expect(sampler.margin).toBeCloseTo(first! - second!, 10);
      }
    }
  });

  it('forgets what was pushed only to draft', () => {
    const params = samplingParams({ presencePenalty: 2 });
    const sampler = new Sampler(params, []);
    sampler.push(0);
    sampler.pop([0]);
    expect(sampler.choose(Float32Array.of(1, 0, 0), 0)).toBe(0);
  });
});
