import { expect, it } from 'vitest';
import { summariseTyping, typingTable, type TypingSample } from '../../../scripts/bench/typing-record.ts';

const sample = (
  plainSeconds: number,
  forgetfulSeconds: number,
  rememberingSeconds: number,
): TypingSample => ({
  plainSeconds,
  forgetfulSeconds,
  rememberingSeconds,
  numAcceptedEarlierDrafts: 30,
  isIdentical: plainSeconds !== 4,
});

it('takes medians of rates, and of ratios prompt by prompt', () => {
  const summary = summariseTyping([sample(1, 0.5, 0.25), sample(2, 1, 0.25), sample(4, 4, 1)], 61);
  expect(summary).toEqual({
    numPrompts: 3,
    numIdentical: 2,
    tokensPerSecond: { off: 30, forgetful: 60, remembering: 240 },
    speedup: { forgetful: 2, remembering: 4 },
    earlierShare: 0.5,
  });
  const record = { date: '2026-01-01', model: 'tiny', machine: 'a machine', node: 'v20', numTokens: 61 };
  const text = typingTable({ ...record, results: { 'a key typed': summary } });
  expect(text).toContain('| a key typed | 30 | 60 | 240 | **4.00** | 50% |');
  expect(text).toContain('2 of 3 completions');
});
