/** When to take real plain steps between rounds: often until the baseline is known well, then at about 1.5% of the time. */

const FIRST_INTERVAL_ROUNDS = 96;
const NUM_FIRST = 10;
const LATER_INTERVAL_ROUNDS = 256;

export class PlainStepSchedule {
  private numTaken = 0;
  private numRoundsLeft = FIRST_INTERVAL_ROUNDS;

  /** Called before every round. */
  isDue(): boolean {
    this.numRoundsLeft -= 1;
    if (this.numRoundsLeft > 0) return false;
    this.numTaken += 1;
    this.numRoundsLeft = this.numTaken < NUM_FIRST ? FIRST_INTERVAL_ROUNDS : LATER_INTERVAL_ROUNDS;
    return true;
  }
}
