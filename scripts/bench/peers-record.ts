/** What `npm run peers` of scripts/peers keeps, and the table of the README that is made of it. */
import { median } from '../../src/decoding/robust-statistics.ts';
import { table } from './markdown-table.ts';
import { format, round } from './statistics.ts';

export interface PeerSetting {
  readonly runtime: string;
  /** How the matrices are stored. */
  readonly weights: string;
  /** `off`, of foretoken alone: decoding without speculation as it is served. */
  readonly decoding: 'speculative' | 'plain' | 'off' | 'prompt lookup';
  readonly numThreads: number;
}

/** One prompt. */
export interface PeerSample {
  readonly tokensPerSecond: number;
  /** Null where only the time is known. */
  readonly tokenIds: readonly number[] | null;
}

export interface PeerMeasurement {
  readonly setting: PeerSetting;
  /** [prompts]; shorter where another number of threads was faster on the first prompts. */
  readonly samples: readonly PeerSample[];
}

/** Tokens as foretoken decodes them without speculation. */
export interface Agreement {
  /** Prompts of which all tokens are the same. */
  readonly numIdentical: number;
  /** Prompts of which the first AGREEING_TOKENS tokens are. */
  readonly numAgreeing: number;
  /** Median over the prompts of the tokens before the first difference. */
  readonly numCommonTokens: number;
}

/** Medians are over the prompts. */
export interface PeerRow extends PeerSetting {
  readonly numPrompts: number;
  /** Whether no other number of threads was faster; only these were measured on all prompts. */
  readonly hasBestThreads: boolean;
  /** Median. */
  readonly tokensPerSecond: number;
  /** Medians of foretoken's tokens per second over these, prompt by prompt. */
  readonly speculativeRatio: number;
  readonly plainRatio: number;
  readonly agreement: Agreement | null;
}

export interface PeersRecord {
  readonly date: string;
  readonly model: string;
  readonly machine: string;
  readonly node: string;
  readonly numTokens: number;
  readonly numPrompts: number;
  /** Prompts on which numbers of threads were compared, and the numbers. */
  readonly numTrialPrompts: number;
  readonly triedThreads: readonly number[];
  /** By package. */
  readonly versions: Readonly<Record<string, string>>;
  readonly rows: readonly PeerRow[];
}

export const AGREEING_TOKENS = 16;

const medianRate = (samples: readonly PeerSample[]): number =>
  median(samples.map(({ tokensPerSecond }) => tokensPerSecond));

const isSameButForThreads = (one: PeerSetting, other: PeerSetting): boolean =>
  one.runtime === other.runtime && one.weights === other.weights && one.decoding === other.decoding;

/** Among the measurements that differ in threads only, judged on the prompts that all of them decoded. */
export function hasBestThreads(
  { setting, samples }: PeerMeasurement,
  measurements: readonly PeerMeasurement[],
): boolean {
  return measurements
    .filter((other) => isSameButForThreads(setting, other.setting))
    .every((other) => {
      const numShared = Math.min(samples.length, other.samples.length);
      const rate = medianRate(samples.slice(0, numShared));
      return other.setting === setting || rate >= medianRate(other.samples.slice(0, numShared));
    });
}

const numCommonTokens = (tokenIds: readonly number[], reference: readonly number[]): number => {
  const difference = tokenIds.findIndex((tokenId, index) => tokenId !== reference[index]);
  return difference === -1 ? tokenIds.length : difference;
};

function agreementOf(samples: readonly PeerSample[], references: readonly PeerSample[]): Agreement | null {
  const common = samples.flatMap(({ tokenIds }, index) =>
    tokenIds === null ? [] : [numCommonTokens(tokenIds, references[index]!.tokenIds!)],
  );
  if (common.length < samples.length) return null;
  const numAll = references[0]!.tokenIds!.length;
  return {
    numIdentical: common.filter((number) => number === numAll).length,
    numAgreeing: common.filter((number) => number >= Math.min(AGREEING_TOKENS, numAll)).length,
    numCommonTokens: median(common),
  };
}

export function summarisePeers(measurements: readonly PeerMeasurement[]): PeerRow[] {
  const ofForetoken = (decoding: PeerSetting['decoding']): readonly PeerSample[] =>
    measurements.find(
      (measurement) =>
        measurement.setting.runtime === 'foretoken' &&
        measurement.setting.decoding === decoding &&
        hasBestThreads(measurement, measurements),
    )!.samples;
  const [speculative, plain, off] = [ofForetoken('speculative'), ofForetoken('plain'), ofForetoken('off')];
  return measurements.map((measurement) => {
    const { setting, samples } = measurement;
    const ratio = (references: readonly PeerSample[]): number =>
      round(
        median(samples.map((sample, index) => references[index]!.tokensPerSecond / sample.tokensPerSecond)),
      );
    return {
      runtime: setting.runtime,
      weights: setting.weights,
      decoding: setting.decoding,
      numThreads: setting.numThreads,
      numPrompts: samples.length,
      hasBestThreads: hasBestThreads(measurement, measurements),
      tokensPerSecond: round(medianRate(samples)),
      speculativeRatio: ratio(speculative),
      plainRatio: ratio(plain),
      agreement: agreementOf(samples, off),
    };
  });
}

const COLUMNS = [
  'runtime',
  'weights',
  'decoding',
  'threads',
  'tok/s',
  'foretoken / this',
  'foretoken plain / this',
  'same text',
  'tokens alike',
];

const agreementCells = ({ agreement, numPrompts }: PeerRow): string[] =>
  agreement === null
    ? ['-', '-']
    : [`${agreement.numIdentical} of ${numPrompts}`, format(agreement.numCommonTokens, 0)];

const cells = (row: PeerRow): string[] => [
  row.runtime,
  row.weights,
  row.decoding,
  String(row.numThreads),
  format(row.tokensPerSecond, 0),
  format(row.speculativeRatio),
  format(row.plainRatio),
  ...agreementCells(row),
];

/** How much faster than plain decoding in each other runtime. */
export function peersSentence(
  { rows, numPrompts, machine, date }: PeersRecord,
  introduction: string,
): string {
  const others = rows
    .filter((row) => row.hasBestThreads && row.decoding === 'plain' && row.runtime !== 'foretoken')
    .map(
      (row) =>
        `${format(row.speculativeRatio)} times ${row.runtime} with ${row.weights} (${format(row.tokensPerSecond, 0)} tokens per second)`,
    );
  return `${introduction} (${numPrompts} prompts, ${machine}, ${date}): ${others.join(', ')}.`;
}

export function peersTable(record: PeersRecord): string {
  const versions = Object.entries(record.versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${record.model}, ${record.numPrompts} prompts of ${record.numTokens} tokens, greedy, ${record.machine}, ` +
      `Node ${record.node}, ${record.date}; ${versions.join(', ')}. Threads: the best of ` +
      `${record.triedThreads.join(', ')} on the first ${record.numTrialPrompts} prompts.`,
    '',
    ...table(COLUMNS, record.rows.filter((row) => row.hasBestThreads).map(cells)),
  ].join('\n');
}
