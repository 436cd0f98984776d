/** What the fuzz tests share. FUZZ_INPUTS says how many inputs they take together. */
import fc from 'fast-check';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { expect } from 'vitest';
import { testApp, type TestApp } from './test-app.ts';

const numInputsInAll = Number(process.env['FUZZ_INPUTS'] ?? 1000);

export const runs = (share: number): { numRuns: number } => ({
  numRuns: Math.max(1, Math.round(numInputsInAll * share)),
});

export const maxBodyBytes = 20_000;

export interface FuzzApp extends TestApp {
  /** What the server has logged as its own fault. */
  readonly errors: readonly string[];
  /** The answer to a good request, when nothing had come before it. */
  readonly answer: unknown;
}

/** A short context, so that every answer comes soon. */
export async function fuzzApp(): Promise<FuzzApp> {
  const errors: string[] = [];
  const log = new Writable({
    write(line: Buffer, _encoding, done) {
      errors.push(line.toString());
      done();
    },
  });
  const logger = pino({ level: 'error' }, log);
  const server = await testApp({ model: { maxModelLength: 48 }, app: { maxBodyBytes, logger } });
  return { ...server, errors, answer: await askWell(server) };
}

/** The server has met nothing unexpected, and answers a good request as ever. */
export async function expectSound(server: FuzzApp): Promise<void> {
  expect(await askWell(server)).toEqual(server.answer);
  expect(server.errors).toEqual([]);
}

async function askWell({ app }: TestApp): Promise<unknown> {
  const answer = await app.inject({
    method: 'POST',
    url: '/v1/completions',
    payload: { prompt: 'good', max_tokens: 2, seed: 1, ignore_eos: true },
  });
  expect(answer.statusCode).toBe(200);
  return answer.json<{ choices: unknown }>().choices;
}

const numbers = fc.oneof(
  fc.constantFrom(0, -0, -1, 1, 0.5, 1e308, -1e308, 5e-324, 2 ** 31, 2 ** 53, -(2 ** 63), 1e21),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer({ min: -10, max: 300 }),
);
/** Unicode of every kind, halves of surrogate pairs among it. */
const texts = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.string({ unit: 'grapheme', maxLength: 10 }),
  fc
    .array(fc.integer({ min: 0xd7f0, max: 0xe010 }), { maxLength: 6 })
    .map((units) => String.fromCharCode(...units)),
  fc.constantFrom('', '\0', '\ufeff', '__proto__', 'constructor', 'auto', 'off'),
);
const leaves = fc.oneof(numbers, texts, fc.boolean(), fc.constant(null));

export const { value: jsonValues } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaves,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      fc.oneof(texts, fc.constantFrom('type', 'role', 'content', 'num_draft_tokens')),
      tie('value'),
      {
        maxKeys: 4,
      },
    ),
  ),
}));

/** `valid` with some of its fields, or other ones, replaced or left out. */
export function mutated(valid: Readonly<Record<string, unknown>>): fc.Arbitrary<Record<string, unknown>> {
  const names = fc.oneof(fc.constantFrom(...Object.keys(valid)), texts);
  const changes = fc.array(fc.tuple(names, fc.option(jsonValues, { nil: undefined })), {
    minLength: 1,
    maxLength: 3,
  });
  return changes.map((entries) => ({ ...valid, ...Object.fromEntries(entries) }));
}

/** Texts that are no JSON, or only just. */
export const brokenJson = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.json().chain((json) => fc.nat({ max: json.length }).map((end) => json.slice(0, end))),
  fc
    .constantFrom('[', '{"a":', '"\\ud800')
    .chain((open) => fc.integer({ min: 1, max: 4000 }).map((depth) => open.repeat(depth))),
  fc.integer({ min: 1, max: 5000 }).map((depth) => `${'['.repeat(depth)}${']'.repeat(depth)}`),
  fc.constantFrom(
    '1e999',
    'NaN',
    '-',
    'nul',
    '{"prompt":1e999}',
    '{"prompt":"x","__proto__":{"n":2}}',
    '\ufeff{}',
  ),
);
