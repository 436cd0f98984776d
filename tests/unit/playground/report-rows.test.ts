import { expect, it } from 'vitest';
import { answerReport } from '../../../src/metrics/merged-report.ts';
import { reportRows } from '../../../src/playground/report-rows.ts';
import { generationReport, type GivenReport } from '../../support/generation-report.ts';

const rowsOf = (given: GivenReport) => reportRows(answerReport([generationReport(given)]).metrics);

const rounds = [
  [3, 3],
  [3, 1],
  [2, 0],
] as const;

it('says what was drafted, what was accepted and what it gained', () => {
  expect(rowsOf({ rounds })).toEqual([
    ['speedup, calibrated', '2.50 times plain decoding'],
    ['tokens per second', '5, plain decoding 2'],
    ['drafts accepted', '4 of 8 (50%)'],
    ['tokens a round', '2.33'],
    ['accepted once all before were', '0.67 0.50 1.00'],
    ['first token', '750 ms'],
  ]);
});

it('says what a replay gave', () => {
  const baseline = { method: 'measured', seconds: 5, calibratedSeconds: 5 } as const;
  expect(rowsOf({ rounds, baseline: { ...baseline, identical: true } })).toContainEqual([
    'plain decoding gave',
    'the same tokens',
  ]);
  expect(rowsOf({ rounds, baseline: { ...baseline, identical: false } })).toContainEqual([
    'plain decoding gave',
    'other tokens',
  ]);
});

it('claims no speedup where nothing was decoded, and no drafts where none were made', () => {
  expect(rowsOf({ baseline: null })).toEqual([
    ['drafts', 'none'],
    ['first token', '750 ms'],
  ]);
});
