/** When to take real plain steps between rounds: often until the baseline is known well, then less. */

/** After a wider forward plain steps take a quarter longer, and settle within ten (docs/log.md): so many go before. */
export const NUM_WARM_UP_STEPS = 10;
export const NUM_TIMED_STEPS = 4;
/** What waits is sent before so many, and nothing until they are over: a step behind a message takes a tenth longer. */
export const NUM_QUIET_STEPS = NUM_TIMED_STEPS + 1;

/** A round without drafts takes about so much of the time of one with some, and counts as much. */
const SHARE_WITHOUT_DRAFTS = 1 / 3;
const FIRST_INTERVAL_ROUNDS = 192;
const NUM_FIRST = 6;
const LATER_INTERVAL_ROUNDS = 512;

export class PlainStepSchedule {
  private numTaken = 0;
  private numRoundsLeft = FIRST_INTERVAL_ROUNDS;

  /** Called before every round; `afterDrafts`: the round before had some. */
  isDue(afterDrafts: boolean): boolean {
    this.numRoundsLeft -= afterDrafts ? 1 : SHARE_WITHOUT_DRAFTS;
    if (this.numRoundsLeft > 0) return false;
    this.numTaken += 1;
    this.numRoundsLeft = this.numTaken < NUM_FIRST ? FIRST_INTERVAL_ROUNDS : LATER_INTERVAL_ROUNDS;
    return true;
  }
}
