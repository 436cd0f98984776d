/**
 * Turns of several sequences side by side: where each has come to a forward, all of these are computed in one pass over
 * the weights. What a sequence computes does not depend on who is beside it (model/exactness.ts). Knows nothing of what
 * a turn is for.
 */
import type { StepCosts } from '../decoding/step-costs.ts';
import { Lane, type Wish } from './lane.ts';
import type { LoadedModel } from './loaded-model.ts';

export interface SharedTurn {
  readonly lane: Lane;
  /** Never rejects. */
  readonly take: () => Promise<void>;
}

type Models = Pick<LoadedModel, 'target' | 'mtp' | 'shared' | 'solo'>;

export class Lockstep {
  private readonly models: Models;
  private readonly costs: (numSharing: number) => StepCosts;
  private readonly othersRun: () => boolean;

  /** `costs` of one sequence among so many that share their passes; `othersRun`: whether other workers need their cores. */
  constructor(models: Models, costs: (numSharing: number) => StepCosts, othersRun: () => boolean) {
    this.models = models;
    this.costs = costs;
    this.othersRun = othersRun;
  }

  newLane(): Lane {
    return new Lane(this.models.target, this.models.mtp, this.models.solo?.target ?? null);
  }

  /** One turn of each, as many at a time as there are passes for. */
  async takeTurns(turns: readonly SharedTurn[]): Promise<void> {
    for (const group of this.inPasses(turns)) await this.takeTogether(group);
  }

  async takeTogether(turns: readonly SharedTurn[]): Promise<void> {
    const lanes = turns.map(({ lane }) => lane);
    const isSolo = turns.length === 1 && this.models.solo !== null && !this.othersRun();
    for (const { lane, take } of turns) {
      lane.numSharing = turns.length;
      lane.isSolo = isSolo;
      await lane.proceed(() => void take().then(() => lane.halt()));
    }
    for (;;) {
      // Who still drafts is waited for, so that all are verified together.
      const drafting = lanes.filter(({ draftWish }) => draftWish !== null);
      const verifying = lanes.filter(({ verifyWish }) => verifyWish !== null);
      if (drafting.length > 0) await this.draft(drafting);
      else if (verifying.length > 0) await this.verify(verifying, turns.length);
      else break;
    }
    for (const lane of lanes) lane.numSharing = 1;
  }

  private inPasses<Item>(items: readonly Item[]): Item[][] {
    const groups: Item[][] = [];
    let rest = [...items];
    for (const { target } of this.models.shared) {
      while (rest.length >= target.numSequences) {
        groups.push(rest.slice(0, target.numSequences));
        rest = rest.slice(target.numSequences);
      }
    }
    return [...groups, ...rest.map((item) => [item])];
  }

  private async draft(lanes: readonly Lane[]): Promise<void> {
    const mtp = this.models.mtp!;
    // What was kept back while nothing was drafted can be wider than a shared pass takes.
    const fits = ({ draftWish }: Lane): boolean =>
      this.models.shared.every((shared) => draftWish!.part.tokenIds.length <= (shared.mtp?.maxWidth ?? 0));
    const groups = [
      ...this.inPasses(lanes.filter(fits)),
      ...lanes.filter((lane) => !fits(lane)).map((lane) => [lane]),
    ];
    for (const group of groups) {
      const wishes = group.map((lane) => lane.takeDraftWish());
      await pass(
        group,
        wishes,
        wishes.map(() => 1),
        async (parts) =>
          parts.length > 1
            ? this.sharedModels(parts.length).mtp!.forward(parts)
            : [await mtp.forward(parts[0]!.cache, parts[0]!.tokenIds, parts[0]!.hiddenStates)],
      );
    }
  }

  private async verify(lanes: readonly Lane[], numSharing: number): Promise<void> {
    const { target } = this.models;
    for (const group of this.inPasses(lanes)) {
      const wishes = group.map((lane) => lane.takeVerifyWish());
      const costs = wishes.map(({ part: { cache, tokenIds } }) =>
        this.costs(numSharing).verifySeconds(tokenIds.length, cache.length),
      );
      await pass(group, wishes, costs, async (parts) =>
        parts.length > 1
          ? this.sharedModels(parts.length).target.forward(parts)
          : [await target.forward(parts[0]!.cache, parts[0]!.tokenIds)],
      );
    }
  }

  private sharedModels(numSequences: number): Models['shared'][number] {
    return this.models.shared.find(({ target }) => target.numSequences === numSequences)!;
  }
}

/**
 * Grants each its part of what `run` gives, one after the other, and charges it with a share of the time in proportion to
 * `weights`.
 */
async function pass<Part, Output>(
  lanes: readonly Lane[],
  wishes: readonly Wish<Part, Output>[],
  weights: readonly number[],
  run: (parts: Part[]) => Promise<Output[]>,
): Promise<void> {
  const start = performance.now();
  let outputs: Output[];
  try {
    outputs = await run(wishes.map(({ part }) => part));
  } catch (error) {
    for (const [index, lane] of lanes.entries()) await lane.proceed(() => wishes[index]!.refuse(error));
    return;
  }
  const secondsByWeight =
    (performance.now() - start) / 1000 / weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, lane] of lanes.entries()) {
    lane.clock.charge(secondsByWeight * weights[index]!);
    await lane.proceed(() => wishes[index]!.grant(outputs[index]!));
  }
}
