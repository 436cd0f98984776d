/** What all requests of the worker share. */
import type { AcceptanceEstimate } from '../decoding/acceptance-estimate.ts';
import type { SharingCosts } from '../decoding/step-costs.ts';
import type { KvStore } from './kv-store.ts';
import type { Lockstep } from './lockstep.ts';
import type { LoadedModel } from './loaded-model.ts';
import type { PlainStepSchedule } from './plain-step-schedule.ts';
import type { WorkerMessage } from './protocol.ts';

export interface WorkerContext {
  readonly model: LoadedModel;
  readonly kv: KvStore;
  readonly costs: SharingCosts;
  /** Acceptance over all requests: what a new one begins with. */
  readonly acceptance: AcceptanceEstimate;
  /** `holdMs`: how long it may wait for later ones (Outbox). */
  readonly post: (message: WorkerMessage, holdMs?: number) => void;
  readonly plainSteps: PlainStepSchedule;
  readonly lockstep: Lockstep;
}
