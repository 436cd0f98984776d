/** What the page says of a completion: names and values, as the server reported them. */
import type { Report } from './completion-stream.ts';

export type ReportRow = readonly [name: string, value: string];

const NUM_POSITIONS = 8;

export function reportRows({ speculative_decoding: drafts, speedup, timings }: Report): ReportRow[] {
  const rows: ReportRow[] = [];
  if (speedup !== null) {
    const {
      factor,
      method,
      tokens_per_second: rate,
      baseline_tokens_per_second: plainRate,
      identical,
    } = speedup;
    rows.push(
      [`speedup, ${method}`, `${factor.toFixed(2)} times plain decoding`],
      ['tokens per second', `${rate.toFixed(0)}, plain decoding ${plainRate.toFixed(0)}`],
    );
    if (identical !== undefined)
      rows.push(['plain decoding gave', identical ? 'the same tokens' : 'other tokens']);
  }
  const { num_draft_tokens: numDrafts, num_accepted_draft_tokens: numAccepted } = drafts;
  if (numDrafts > 0) {
    const rates = drafts.conditional_acceptance_rate_per_position.slice(0, NUM_POSITIONS);
    rows.push(
      [
        'drafts accepted',
        `${numAccepted} of ${numDrafts} (${((100 * numAccepted) / numDrafts).toFixed(0)}%)`,
      ],
      ['tokens a round', drafts.mean_acceptance_length.toFixed(2)],
      ['accepted once all before were', rates.map((rate) => rate?.toFixed(2) ?? '-').join(' ')],
    );
  } else rows.push(['drafts', 'none']);
  rows.push(['first token', `${(1000 * timings.time_to_first_token_seconds).toFixed(0)} ms`]);
  return rows;
}
