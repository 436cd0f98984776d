import { expect, it } from 'vitest';
import { profileSentence, type ProfileRecord } from '../../../scripts/bench/profile-record.ts';

const part = (name: ProfileRecord['parts'][number]['part'], share: number) => ({
  part: name,
  ms_per_round: 10 * share,
  share,
});

it('tells where a round goes, and what of it is not computing', () => {
  const record: ProfileRecord = {
    date: '2026-11-27',
    model: 'model',
    machine: 'machine',
    node: 'v20',
    numThreads: 1,
    numRounds: 1283,
    parts: [part('draft', 0.16), part('verify', 0.8144), part('sample', 0.0079), part('rest', 0.0177)],
    calls: { ms_per_round: 0.34, share: 0.0429 },
    overhead: 0.0685,
  };
  expect(profileSentence(record)).toBe(
    '`npm run profile` (model, machine, one thread a forward, Node v20, 2026-11-27): of 1283 greedy rounds 81.4% of the ' +
      'time are verifies, 16.0% drafts, 0.8% choosing tokens, 1.8% everything else. Calls of ONNX Runtime, without its ' +
      'kernels, are 4.3%; with choosing and everything else they come to **6.9%**.',
  );
});
