/** One answer may have several choices: their raw counters are added up, and rates derived from the sums. */
import {
  llamaTimings,
  metricsReport,
  usageReport,
  type Baseline,
  type GenerationReport,
  type LlamaTimings,
  type MetricsReport,
  type UsageReport,
} from './generation-report.ts';
import type { DraftCounts, SpecDecodeCounters } from './spec-decode-stats.ts';

export interface AnswerReport {
  usage: UsageReport;
  metrics: MetricsReport;
  timings: LlamaTimings;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function sumPerPosition(rows: readonly (readonly number[])[]): number[] {
  const length = Math.max(...rows.map((row) => row.length));
  return Array.from({ length }, (_, position) => sum(rows.map((row) => row[position] ?? 0)));
}

const mergedCounts = (counts: readonly DraftCounts[]): DraftCounts => ({
  numSpecSteps: sum(counts.map(({ numSpecSteps }) => numSpecSteps)),
  numDraftTokens: sum(counts.map(({ numDraftTokens }) => numDraftTokens)),
  numAcceptedDraftTokens: sum(counts.map(({ numAcceptedDraftTokens }) => numAcceptedDraftTokens)),
});

export function mergedSpeculation(counters: readonly SpecDecodeCounters[]): SpecDecodeCounters {
  return {
    numSpecTokens: Math.max(...counters.map(({ numSpecTokens }) => numSpecTokens)),
    ...mergedCounts(counters),
    acceptanceHistogram: sumPerPosition(counters.map(({ acceptanceHistogram }) => acceptanceHistogram)),
    numReachedPerPosition: sumPerPosition(counters.map(({ numReachedPerPosition }) => numReachedPerPosition)),
    numAcceptedPerPosition: sumPerPosition(
      counters.map(({ numAcceptedPerPosition }) => numAcceptedPerPosition),
    ),
    promptLookup: mergedCounts(counters.map(({ promptLookup }) => promptLookup)),
    earlierText: mergedCounts(counters.map(({ earlierText }) => earlierText)),
  };
}

/** Null if any choice decoded without a known baseline: a partial speedup would not be that of the answer. */
function mergedBaseline(reports: readonly GenerationReport[]): Baseline | null {
  const decoded = reports.filter(
    ({ timings, numCompletionTokens }) => timings.decodeSeconds > 0 && numCompletionTokens > 1,
  );
  const baselines = decoded.map(({ baseline }) => baseline).filter((baseline) => baseline !== null);
  if (baselines.length === 0 || baselines.length < decoded.length) return null;
  const seconds = sum(baselines.map((baseline) => baseline.seconds));
  if (baselines.some(({ method }) => method === 'calibrated')) return { method: 'calibrated', seconds };
  return { method: 'measured', seconds, identical: baselines.every(({ identical }) => identical === true) };
}

/** Work adds up; waiting is that of the choice that waited longest. */
function mergedReport(reports: readonly GenerationReport[]): GenerationReport {
  const timings = reports.map((report) => report.timings);
  return {
    numPromptTokens: sum(reports.map(({ numPromptTokens }) => numPromptTokens)),
    numQueriedTokens: sum(reports.map(({ numQueriedTokens }) => numQueriedTokens)),
    numCachedTokens: sum(reports.map(({ numCachedTokens }) => numCachedTokens)),
    numCompletionTokens: sum(reports.map(({ numCompletionTokens }) => numCompletionTokens)),
    speculation: mergedSpeculation(reports.map(({ speculation }) => speculation)),
    timings: {
      queueSeconds: Math.max(...timings.map(({ queueSeconds }) => queueSeconds)),
      prefillSeconds: sum(timings.map(({ prefillSeconds }) => prefillSeconds)),
      timeToFirstTokenSeconds: Math.max(
        ...timings.map(({ timeToFirstTokenSeconds }) => timeToFirstTokenSeconds),
      ),
      decodeSeconds: sum(timings.map(({ decodeSeconds }) => decodeSeconds)),
      draftSeconds: sum(timings.map(({ draftSeconds }) => draftSeconds)),
      verifySeconds: sum(timings.map(({ verifySeconds }) => verifySeconds)),
      sampleSeconds: sum(timings.map(({ sampleSeconds }) => sampleSeconds)),
      totalSeconds: Math.max(...timings.map(({ totalSeconds }) => totalSeconds)),
    },
    baseline: mergedBaseline(reports),
  };
}

/** Of one prompt, by its choices: each may have computed a part of it and taken over the rest from the others. */
function promptCounts(
  choices: readonly GenerationReport[],
): Pick<GenerationReport, 'numPromptTokens' | 'numCachedTokens'> {
  const { numPromptTokens } = choices[0]!;
  const numComputed = sum(choices.map((choice) => choice.numPromptTokens - choice.numCachedTokens));
  return { numPromptTokens, numCachedTokens: Math.max(0, numPromptTokens - numComputed) };
}

/**
 * `reports` are in the order of the choices, `numChoicesPerPrompt` of them to a prompt. As with OpenAI, `usage` counts
 * a prompt once however many choices it has, what all of these computed of it as well; `metrics` and `timings` count all
 * work.
 */
export function answerReport(reports: readonly GenerationReport[], numChoicesPerPrompt = 1): AnswerReport {
  const [only] = reports;
  if (reports.length === 1 && only !== undefined) {
    return { usage: usageReport(only), metrics: metricsReport(only), timings: llamaTimings(only) };
  }
  const merged = mergedReport(reports);
  const prompts = Array.from({ length: reports.length / numChoicesPerPrompt }, (_, index) =>
    promptCounts(reports.slice(index * numChoicesPerPrompt, (index + 1) * numChoicesPerPrompt)),
  );
  const usage = usageReport({
    ...merged,
    numPromptTokens: sum(prompts.map(({ numPromptTokens }) => numPromptTokens)),
    numCachedTokens: sum(prompts.map(({ numCachedTokens }) => numCachedTokens)),
  });
  // Rates leave out one first token, and here there is one a choice.
  const rated = { ...merged, numCompletionTokens: merged.numCompletionTokens - (reports.length - 1) };
  const timings = { ...llamaTimings(rated), predicted_n: merged.numCompletionTokens };
  return { usage, metrics: metricsReport(rated), timings };
}
