/** Summaries per kind and in total, each also without the prompts whose continuation loops. */
import type { Sample } from './acceptance-summary.ts';

export interface Loop {
  readonly prompt: string;
  /** Tokens. */
  readonly period: number;
}

export type WithLoops<Summary> = Summary & {
  readonly loops: readonly Loop[];
  /** Null if every prompt loops. */
  readonly withoutLoops: Summary | null;
};

export interface SummariesByKind<Summary> {
  readonly total: WithLoops<Summary>;
  readonly byKind: Readonly<Record<string, WithLoops<Summary>>>;
}

function withLoops<Each extends Sample, Summary>(
  samples: readonly Each[],
  summarise: (samples: readonly Each[]) => Summary,
): WithLoops<Summary> {
  const others = samples.filter((sample) => sample.loopPeriod === null);
  return {
    ...summarise(samples),
    loops: samples.flatMap(({ prompt, loopPeriod }) =>
      loopPeriod === null ? [] : [{ prompt, period: loopPeriod }],
    ),
    withoutLoops: others.length === 0 ? null : summarise(others),
  };
}

export function summariseByKind<Each extends Sample, Summary>(
  samples: readonly Each[],
  summarise: (samples: readonly Each[]) => Summary,
): SummariesByKind<Summary> {
  const kinds = [...new Set(samples.map(({ kind }) => kind))];
  const ofKind = (kind: string): WithLoops<Summary> =>
    withLoops(
      samples.filter((sample) => sample.kind === kind),
      summarise,
    );
  return {
    total: withLoops(samples, summarise),
    byKind: Object.fromEntries(kinds.map((kind) => [kind, ofKind(kind)])),
  };
}

export const formatLoops = (loops: readonly Loop[]): string =>
  loops.map(({ prompt, period }) => `${prompt} (period ${period})`).join(', ');

/** Prints a line for each kind and the total, and below it what changes without the prompts that loop. */
export function printByKind<Summary>(
  { total, byKind }: SummariesByKind<Summary>,
  formatSummary: (summary: Summary) => string,
): void {
  for (const [name, summary] of [...Object.entries(byKind), ['total', total] as const]) {
    console.log(`${name.padEnd(28)}${formatSummary(summary)}  loops ${summary.loops.length}`);
    if (summary.loops.length === 0) continue;
    const { withoutLoops } = summary;
    console.log(
      `  ${'without loops'.padEnd(26)}${withoutLoops === null ? '-' : formatSummary(withoutLoops)}`,
    );
    console.log(`  loops: ${formatLoops(summary.loops)}`);
  }
}
