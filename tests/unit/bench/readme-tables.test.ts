import { describe, expect, it, test } from 'vitest';
import { summariseAcceptance } from '../../../scripts/bench/acceptance-summary.ts';
import { summariseByKind } from '../../../scripts/bench/loops.ts';
import { acceptanceTable, benchTables, otherRunSentence } from '../../../scripts/bench/readme-tables.ts';
import { summarise } from '../../../scripts/bench/summary.ts';
import { benchMeasurement, benchSample } from '../../support/bench-samples.ts';

const plain = { prompt: 'tests 1' };
const looping = { prompt: 'tests 2', loopPeriod: 5, rounds: [[2, 2]] as const };
const samples = [benchSample(plain), benchSample(looping)];
const common = { date: '2026-01-01', model: 'tiny', numTokens: 128, card: {} };

const record = {
  ...common,
  machine: 'a machine',
  node: 'v20',
  numRepeats: 3,
  maxDraftTokens: 2,
  adaptive: true,
  results: {
    'T=0': summariseByKind([benchMeasurement(1, plain), benchMeasurement(3, looping)], summarise),
  },
};

describe('acceptanceTable', () => {
  it('has the temperatures side by side, a row a kind, and totals with and without loops', () => {
    const text = acceptanceTable({
      ...common,
      numDraftTokens: 2,
      results: {
        'T=0': summariseByKind(samples, summariseAcceptance),
        'T=1': summariseByKind([samples[1]!], summariseAcceptance),
      },
    });
    expect(text.split('\n')).toEqual([
      'tiny, 128 tokens a prompt, fixed depth 2, 2026-01-01.',
      '',
      '| prompts | T=0: by position | T=0: mean length | T=1: by position | T=1: mean length |',
      '| --- | --: | --: | --: | --: |',
      '| tests | 1.00 0.50 | 2.50 | 1.00 1.00 | 3.00 |',
      '| **all** | 1.00 0.50 | 2.50 | 1.00 1.00 | 3.00 |',
      '| **all but loops** | 1.00 0.00 | 2.00 | - | - |',
      '',
      'T=0: 1 of 2 prompts loop: tests 2 (period 5).',
      '',
      'T=1: 1 of 1 prompts loop: tests 2 (period 5).',
    ]);
  });
});

describe('benchTables', () => {
  it('has speeds with and without loops, then the longer continuations', () => {
    const quality = { numTokens: 256, ...summariseByKind(samples, summariseAcceptance) };
    const lines = benchTables({ ...record, quality }).split('\n');
    expect(lines).toContain('**T=0** (2 of 2 prompts identical with and without speculation)');
    expect(lines).toContain(
      '| **all** | 200 | 100 | 50 | 2.00 (1.00-3.00) | 4.00 (2.00-6.00) | 0.75 | 2.50 | 1.00 0.50 | 1.00 | 0.90 |',
    );
    expect(lines).toContain(
      '| **all but loops** | 100 | 100 | 50 | 1.00 (1.00-1.00) | 2.00 (2.00-2.00) | 0.50 | 2.00 | 1.00 0.00 | 1.00 | 0.90 |',
    );
    const longer = lines.slice(lines.indexOf('**Greedy, 256 tokens a prompt**'));
    expect(longer).toContain('| **all** | 0.90 | 0.75 | 2.50 | 1.00 0.50 |');
    expect(longer).toContain('| **all but loops** | 0.90 | 0.50 | 2.00 | 1.00 0.00 |');
    expect(longer.at(-1)).toBe('1 of 2 prompts loop: tests 2 (period 5).');
  });

  it('has no longer continuations where none were made', () => {
    const text = benchTables(record);
    expect(text).toContain('1 of 2 prompts loop: tests 2 (period 5).');
    expect(text).not.toMatch(/Greedy/);
  });
});

test('otherRunSentence has the totals of every temperature', () => {
  expect(otherRunSentence({ ...record, numThreads: 2 }, 'The same elsewhere')).toBe(
    'The same elsewhere (a machine, 2 threads a forward, 2026-01-01). T=0: **2.00** times 100 tokens per second of plain ' +
      'decoding (1.00 to 3.00), 4.00 times `off` (2.00 to 6.00), mean acceptance length 2.50.',
  );
});
