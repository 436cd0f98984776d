import { expect, it } from 'vitest';
import { cutAt, healingTable, PLACES, summariseHealing } from '../../../scripts/bench/healing-record.ts';

const text = Array.from({ length: 60 }, (_, line) => `  const value${line} = compute(${line});\n`).join('');

it('cuts a text in two, another one with every draw', () => {
  const prompts = new Set<string>();
  for (const isPlace of Object.values(PLACES)) {
    for (let draw = 0; draw < 20; draw += 1) {
      const cut = cutAt(text, draw, isPlace);
      if (cut === null) continue;
      expect(text).toContain(`${cut.prompt}${cut.rest}\n`);
      expect(isPlace(cut.prompt + cut.rest, cut.prompt.length)).toBe(true);
      prompts.add(cut.prompt);
    }
  }
  expect(prompts.size).toBeGreaterThan(40);
});

it('does not cut what is too short, or where nothing is left of the line', () => {
  expect(cutAt('const a = 1;\n', 0, PLACES['anywhere']!)).toBeNull();
  const atLineEnd = (whole: string, at: number): boolean => whole[at] === '\n';
  expect(cutAt(text, 0, atLineEnd)).toBeNull();
  expect(cutAt('x'.repeat(2000), 0, PLACES['anywhere']!)).toBeNull();
});

it('counts lines that are the same to their end, and words', () => {
  const summary = summariseHealing([
    { rest: 'rn a;', healed: 'rn a; ', unhealed: 'rn b;' },
    { rest: '  if (a) {', healed: '  if (b) {', unhealed: 'tion' },
    { rest: ');', healed: '', unhealed: ')' },
    { rest: 'ed', healed: 'e', unhealed: 'eded' },
  ]);
  expect(summary).toEqual({
    lines: { healed: 0.25, unhealed: 0 },
    words: { healed: 0.5, unhealed: 0.5 },
  });
  const facts = { date: '2026-01-01', model: 'tiny', machine: 'a machine', node: 'v20', numCuts: 4 };
  expect(healingTable({ ...facts, results: { anywhere: summary } })).toContain(
    '| anywhere | 25.0% | 0.0% | 50.0% | 50.0% |',
  );
});
