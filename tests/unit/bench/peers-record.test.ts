import { expect, it } from 'vitest';
import {
  peersSentence,
  peersTable,
  summarisePeers,
  type PeerMeasurement,
  type PeerSetting,
} from '../../../scripts/bench/peers-record.ts';

const measurement = (
  setting: Partial<PeerSetting>,
  rates: readonly number[],
  tokenIds: readonly (readonly number[])[] | null,
): PeerMeasurement => ({
  setting: { runtime: 'foretoken', weights: 'int8', decoding: 'plain', numThreads: 1, ...setting },
  samples: rates.map((tokensPerSecond, index) => ({ tokensPerSecond, tokenIds: tokenIds?.[index] ?? null })),
});

const texts = [
  [1, 2, 3],
  [4, 5, 6],
  [7, 8, 9],
];
const peer = { runtime: 'peer', weights: 'F32' };
const rows = summarisePeers([
  measurement({ decoding: 'speculative' }, [20, 40, 90], texts),
  measurement({ decoding: 'plain' }, [10, 20, 30], null),
  measurement({ decoding: 'off' }, [5, 10, 15], texts),
  measurement(
    { ...peer, numThreads: 1 },
    [10, 10, 10],
    [
      [1, 2, 3],
      [4, 0, 6],
      [7, 8, 0],
    ],
  ),
  measurement({ ...peer, numThreads: 2 }, [8], [[1, 2, 3]]),
]);

it('compares prompt by prompt, with foretoken as it decodes fastest', () => {
  expect(rows[3]).toEqual({
    ...peer,
    decoding: 'plain',
    numThreads: 1,
    numPrompts: 3,
    hasBestThreads: true,
    tokensPerSecond: 10,
    speculativeRatio: 4,
    plainRatio: 2,
    agreement: { numIdentical: 1, numAgreeing: 1, numCommonTokens: 2 },
  });
  expect(rows[4]).toMatchObject({ hasBestThreads: false, numPrompts: 1, speculativeRatio: 2.5 });
  expect(rows[1]!.agreement).toBeNull();
});

it('shows each with its best number of threads', () => {
  const record = {
    date: '2026-01-01',
    model: 'tiny',
    machine: 'a machine',
    node: 'v20',
    numTokens: 3,
    numPrompts: 3,
    numTrialPrompts: 1,
    triedThreads: [1, 2],
    versions: { peer: '1.0.0' },
    rows,
  };
  const text = peersTable(record);
  const lines = text.split('\n');
  expect(lines[0]).toContain('3 prompts of 3 tokens');
  expect(lines[0]).toContain('peer 1.0.0. Threads: the best of 1, 2 on the first 1 prompts.');
  expect(lines).toHaveLength(8);
  expect(lines[5]).toBe('| foretoken | int8 | plain | 1 | 20 | 2.00 | 1.00 | - | - |');
  expect(lines[7]).toBe('| peer | F32 | plain | 1 | 10 | 4.00 | 2.00 | 1 of 3 | 2 |');
  expect(peersSentence(record, 'Elsewhere')).toBe(
    `Elsewhere (3 prompts, a machine, ${record.date}): 4.00 times peer with F32 (10 tokens per second).`,
  );
});
