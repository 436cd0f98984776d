/**
 * One sequence's access to the models. Alone, a forward runs at once; in lockstep with others (lockstep.ts) it waits until
 * all of them have come to one. Counts the time that the sequence had. Knows nothing of decoding.
 */
import type { Clock } from '../decoding/decoding-state.ts';
import type {
  MtpModule,
  MtpOutput,
  MtpPart,
  TargetModel,
  TargetOutput,
  TargetPart,
} from '../model/target-model.ts';

/** Runs while the sequence has the thread, and is charged with its share of what it has together with others. */
export class LaneClock implements Clock {
  private counted = 0;
  private runningSince: number | null = null; // ms

  get seconds(): number {
    const running = this.runningSince === null ? 0 : (performance.now() - this.runningSince) / 1000;
    return this.counted + running;
  }

  start(): void {
    this.runningSince = performance.now();
  }

  stop(): void {
    this.counted = this.seconds;
    this.runningSince = null;
  }

  charge(seconds: number): void {
    this.counted += seconds;
  }
}

/** A forward that waits for those of other sequences. */
export class Wish<Part, Output> {
  readonly part: Part;
  readonly output: Promise<Output>;
  grant!: (output: Output) => void;
  refuse!: (reason: unknown) => void;

  constructor(part: Part) {
    this.part = part;
    this.output = new Promise((resolve, reject) => {
      this.grant = resolve;
      this.refuse = reject;
    });
  }
}

export class Lane {
  readonly clock = new LaneClock();
  readonly target: TargetModel;
  readonly mtp: MtpModule | null;
  /** Sequences that take their turns in lockstep with this one, itself included. */
  numSharing = 1;
  /** Whether its forwards take all of the machine: it shares no pass, and no other worker has anything to do. */
  isSolo = false;
  draftWish: Wish<MtpPart, MtpOutput> | null = null;
  verifyWish: Wish<TargetPart, TargetOutput> | null = null;
  private onHalt: (() => void) | null = null;

  /** `solo`: the same target where the lane is solo; null: the same as ever. */
  constructor(target: TargetModel, mtp: MtpModule | null, solo: TargetModel | null) {
    const own = (): TargetModel => (this.isSolo && solo !== null ? solo : target);
    this.target = {
      vocabSize: target.vocabSize,
      hiddenSize: target.hiddenSize,
      maxWidth: target.maxWidth,
      forward: async (cache, tokenIds) => {
        if (this.numSharing === 1) return await own().forward(cache, tokenIds);
        this.verifyWish = new Wish({ cache, tokenIds });
        return await this.waitFor(this.verifyWish);
      },
      forwardAtWidth: async (cache, tokenIds) => own().forwardAtWidth(cache, tokenIds),
      close: async () => target.close(),
    };
    this.mtp =
      mtp === null
        ? null
        : {
            maxWidth: mtp.maxWidth,
            forward: async (cache, tokenIds, hiddenStates) => {
              if (this.numSharing === 1) return await mtp.forward(cache, tokenIds, hiddenStates);
              this.draftWish = new Wish({ cache, tokenIds, hiddenStates });
              return await this.waitFor(this.draftWish);
            },
            close: async () => mtp.close(),
          };
  }

  /** Lets the sequence have the thread until it halts: at a forward that it waits for, or at its turn's end. */
  async proceed(how: () => void): Promise<void> {
    const halted = new Promise<void>((resolve) => {
      this.onHalt = resolve;
    });
    this.clock.start();
    how();
    await halted;
    this.clock.stop();
  }

  halt(): void {
    this.onHalt?.();
  }

  takeDraftWish(): Wish<MtpPart, MtpOutput> {
    const wish = this.draftWish!;
    this.draftWish = null;
    return wish;
  }

  takeVerifyWish(): Wish<TargetPart, TargetOutput> {
    const wish = this.verifyWish!;
    this.verifyWish = null;
    return wish;
  }

  private async waitFor<Output>(wish: Wish<unknown, Output>): Promise<Output> {
    this.halt();
    return await wish.output;
  }
}
