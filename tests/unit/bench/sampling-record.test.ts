import { expect, it } from 'vitest';
import { samplingTable, summariseSampling } from '../../../scripts/bench/sampling-record.ts';

const pair = (offSeconds: number, decodeSeconds: number) => ({
  numTokens: 100,
  offSeconds,
  numRounds: 25,
  decodeSeconds,
  sampleSeconds: 0.005,
});

it('takes the median of the speedups, and sums of the rest', () => {
  expect(summariseSampling([pair(0.2, 0.1), pair(0.3, 0.2), pair(0.9, 0.2)])).toEqual({
    speedupOverOff: 2,
    offTokensPerSecond: 214.286,
    tokensPerSecond: 600,
    chooseMsPerRound: 0.2,
    chooseShare: 0.03,
  });
});

it('says what was asked for in the words of requests', () => {
  const table = samplingTable({
    date: '2026-01-01',
    model: 'tiny',
    machine: 'a machine',
    node: 'v20',
    numPrompts: 2,
    vocabSizes: [6144, 151_936],
    rows: [
      {
        params: { temperature: 0.8, topK: 40, minP: 0.05 },
        ...summariseSampling([pair(0.2, 0.1)]),
        chooseMicroseconds: [7.125, 130.4],
      },
    ],
  });
  expect(table).toContain('| of the round | 6,144 logits, us | 151,936 logits, us |');
  expect(table.split('\n').at(-1)).toBe(
    '| temperature 0.8, top_k 40, min_p 0.05 | 500 | 1000 | 2.00 | 0.200 | 5.0% | 7.1 | 130 |',
  );
});
