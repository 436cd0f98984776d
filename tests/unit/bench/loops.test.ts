import { describe, expect, it } from 'vitest';
import { summariseAcceptance } from '../../../scripts/bench/acceptance-summary.ts';
import { acceptanceRows, cardRows, speedRows } from '../../../scripts/bench/card-rows.ts';
import { formatLoops, summariseByKind } from '../../../scripts/bench/loops.ts';
import { summarise } from '../../../scripts/bench/summary.ts';
import { benchMeasurement, benchSample } from '../../support/bench-samples.ts';

const looping = benchSample({ prompt: 'tests 2', loopPeriod: 5, distinct4: 0.1, rounds: [[2, 2]] });
const other = benchSample({ kind: 'JSX', prompt: 'JSX 1', distinct4: 0.7, rounds: [[2, 0]] });
const samples = [benchSample(), looping, other];

describe('summariseAcceptance', () => {
  it('derives rates from summed counters, and takes the median distinct-4', () => {
    expect(summariseAcceptance(samples)).toEqual({
      numPrompts: 3,
      draftAcceptanceRate: 0.5,
      meanAcceptanceLength: 2,
      acceptanceRatePerPosition: [0.667, 0.333],
      conditionalAcceptanceRatePerPosition: [0.667, 0.5],
      distinct4: 0.7,
    });
  });

  it('has no conditional rate where no round came', () => {
    const { conditionalAcceptanceRatePerPosition } = summariseAcceptance([other]);
    expect(conditionalAcceptanceRatePerPosition).toEqual([0, null]);
  });
});

describe('summariseByKind', () => {
  const { total, byKind } = summariseByKind(samples, summariseAcceptance);

  it('lists the prompts that loop, of a kind and of all', () => {
    expect(total.loops).toEqual([{ prompt: 'tests 2', period: 5 }]);
    expect(byKind['tests']!.loops).toEqual(total.loops);
    expect(byKind['JSX']!.loops).toEqual([]);
    expect(formatLoops(total.loops)).toBe('tests 2 (period 5)');
  });

  it('summarises all, and those that do not loop', () => {
    expect(total).toMatchObject(summariseAcceptance(samples));
    expect(total.withoutLoops).toEqual(summariseAcceptance([samples[0]!, other]));
    expect(byKind['tests']!.withoutLoops).toEqual(summariseAcceptance([samples[0]!]));
    expect(byKind['JSX']!.withoutLoops).toEqual(summariseAcceptance([other]));
  });

  it('has nothing without loops if every prompt loops', () => {
    expect(summariseByKind([looping], summariseAcceptance).total.withoutLoops).toBeNull();
  });

  it('leaves the speedup of loops out as well', () => {
    const measurements = [benchMeasurement(1), benchMeasurement(3, { loopPeriod: 1 }), benchMeasurement(1.2)];
    const { total: speed } = summariseByKind(measurements, summarise);
    expect(speed.speedup).toEqual({ median: 1.2, min: 1, max: 3 });
    expect(speed.withoutLoops!.speedup).toEqual({ median: 1.1, min: 1, max: 1.2 });
  });
});

describe('cardRows', () => {
  it('quotes all, then all without those that loop', () => {
    const { total } = summariseByKind(samples, summariseAcceptance);
    expect(cardRows('T=0', total, acceptanceRows)).toEqual([
      ['T=0: acceptance rate', '0.50'],
      ['T=0: mean acceptance length', '2.00'],
      ['T=0: conditional acceptance by position', '0.67 0.50'],
      ['T=0: distinct-4', '0.70'],
      ['T=0: prompts that loop', '1 of 3'],
      ['T=0, without them: acceptance rate', '0.25'],
      ['T=0, without them: mean acceptance length', '1.50'],
      ['T=0, without them: conditional acceptance by position', '0.50 0.00'],
    ]);
  });

  it.each([
    ['none loops', other, '0 of 1'],
    ['all loop', looping, '1 of 1'],
  ])('quotes one only where %s', (_, sample, count) => {
    const rows = cardRows('T=0', summariseByKind([sample], summariseAcceptance).total, acceptanceRows);
    expect(rows).toHaveLength(5);
    expect(rows.at(-1)).toEqual(['T=0: prompts that loop', count]);
  });

  it('quotes speedups', () => {
    const { total } = summariseByKind([benchMeasurement(1), benchMeasurement(2)], summarise);
    expect(cardRows('T=0', total, speedRows)).toContainEqual([
      'T=0: speedup over plain decoding, median (least to greatest)',
      '1.50 (1.00 to 2.00)',
    ]);
  });
});
