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
  /** `mayWait`: for later ones (Outbox). */
  readonly post: (message: WorkerMessage, mayWait?: boolean) => void;
  readonly plainSteps: PlainStepSchedule;
  readonly lockstep: Lockstep;
}
