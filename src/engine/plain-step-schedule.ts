/** When to take real plain steps between rounds: often at first, then seldom enough that they cost about 1%. */

const FIRST_INTERVAL_ROUNDS = 16;
const LAST_INTERVAL_ROUNDS = 128;

export class PlainStepSchedule {
  private interval = FIRST_INTERVAL_ROUNDS;
  private numRoundsLeft = FIRST_INTERVAL_ROUNDS;

  /** Called before every round. */
  isDue(): boolean {
    this.numRoundsLeft -= 1;
    if (this.numRoundsLeft > 0) return false;
    this.interval = Math.min(2 * this.interval, LAST_INTERVAL_ROUNDS);
    this.numRoundsLeft = this.interval;
    return true;
  }
}
