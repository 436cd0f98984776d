import { expect, it } from 'vitest';
import { samplingTable } from '../../../scripts/bench/sampling-record.ts';

it('says what choosing takes in rounds, and by itself', () => {
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
        numRounds: 50,
        numTokens: 200,
        sampleSeconds: 0.01,
        decodeSeconds: 0.5,
        chooseMicroseconds: [7.125, 130.4],
      },
    ],
  });
  expect(table).toContain(
    '| sampling | tok/s | choosing, ms a round | of the round | 6,144 logits, us | 151,936 logits, us |',
  );
  expect(table.split('\n').at(-1)).toBe(
    '| temperature 0.8, top_k 40, min_p 0.05 | 400 | 0.200 | 2.0% | 7.1 | 130 |',
  );
});
