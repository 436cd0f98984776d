import { expect, it } from 'vitest';
import { prefixSentence, summarisePrefix } from '../../../scripts/bench/prefix-record.ts';

const sample = (coldMs: number, warmMs: number, isIdentical = true) => ({
  coldMs,
  warmMs,
  numCachedTokens: 9,
  isIdentical,
});

it('takes medians, and the ratio prompt by prompt', () => {
  const samples = [sample(100, 10), sample(400, 20, false), sample(300, 60)];
  expect(summarisePrefix(samples)).toEqual({
    numPrompts: 3,
    numIdentical: 2,
    cold: { median: 300, min: 100, max: 400 },
    warm: { median: 20, min: 10, max: 60 },
    ratio: 10,
  });
});

it('says what was measured, and how many gave other tokens', () => {
  const sentence = prefixSentence({
    date: '2026-01-01',
    model: 'tiny',
    machine: 'a machine',
    node: 'v20',
    numPromptTokens: 1500,
    numNewTokens: 20,
    ...summarisePrefix([sample(100, 10), sample(100, 10, false)]),
  });
  expect(sentence).toContain('1500 tokens takes 100 ms from nothing, and 10.0 ms');
  expect(sentence).toContain('**10.0 times** as fast (medians of 2 prompts; 1 of 2 gave');
});
