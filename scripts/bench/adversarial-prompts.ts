/** Prompts that a model of code can hardly go on from: what speculation must survive without being slower. */
import { positionKey, tokenBits } from '../../src/decoding/random.ts';
import type { Prompt } from './prompts.ts';

const NUM_RANDOM_PROMPTS = 4;
const RANDOM_PROMPT_TOKENS = 64;

const NATURAL_LANGUAGE = [
  'The ferry leaves the island twice a day, and whoever misses it spends the night with the gulls. My grandmother, who',
  'In the spring of that year the river rose higher than anyone could remember. The miller moved his sacks to the loft,',
  'Zwischen den beiden Dörfern lag ein Moor, das im Herbst niemand betrat. Erst als der Frost kam, gingen die Kinder',
  'To make the dough, mix flour, water and a pinch of salt, and let it rest overnight. In the morning, knead it until',
];

/** `numTokens` ids below `vocabSize`, the same for the same seed. */
function randomIds(seed: number, numTokens: number, vocabSize: number): number[] {
  const key = positionKey(seed, 0);
  return Array.from({ length: numTokens }, (_, index) => (tokenBits(key, index) >>> 0) % vocabSize);
}

/** Random token ids, and prose far from the training data. */
export function adversarialPrompts(vocabSize: number): Prompt<string | readonly number[]>[] {
  const random = Array.from({ length: NUM_RANDOM_PROMPTS }, (_, index) => ({
    kind: 'random tokens',
    name: `random tokens ${index + 1}`,
    text: randomIds(index + 1, RANDOM_PROMPT_TOKENS, vocabSize),
  }));
  const prose = NATURAL_LANGUAGE.map((text, index) => ({
    kind: 'natural language',
    name: `natural language ${index + 1}`,
    text,
  }));
  return [...random, ...prose];
}
