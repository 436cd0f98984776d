/** Several generations of one request, run side by side and read as one stream. */
import { setMaxListeners } from 'node:events';
import type { Engine, GenerationEvent, GenerationRequest } from '../engine/generation.ts';
import { ForetokenError } from '../errors.ts';

export interface ChoiceEvent {
  /** Index of the request that the event belongs to. */
  readonly choice: number;
  readonly event: GenerationEvent;
}

export interface AdmittedChoices {
  readonly iterators: readonly AsyncIterator<GenerationEvent>[];
  readonly abort: AbortController;
  /** Aborted by either side. */
  readonly signal: AbortSignal;
}

/** Admits all requests or, by throwing, none. */
export function admitChoices(
  engine: Engine,
  requests: readonly GenerationRequest[],
  signal: AbortSignal,
): AdmittedChoices {
  const abort = new AbortController();
  const anyAbort = AbortSignal.any([signal, abort.signal]);
  // Every choice listens.
  setMaxListeners(0, anyAbort);
  try {
    const iterators = requests.map((request) => engine.generate(request, anyAbort)[Symbol.asyncIterator]());
    return { iterators, abort, signal: anyAbort };
  } catch (error) {
    abort.abort();
    throw error;
  }
}

/**
 * Ends early where the signal is aborted, and with the signal's reason where that is a ForetokenError.
 * Invariant: `pending` has the next event of every choice that has not ended, longest waiting first.
 */
export async function* mergeChoices(
  { iterators, abort, signal }: AdmittedChoices,
  release: () => void,
): AsyncGenerator<ChoiceEvent, void, undefined> {
  const pending = new Map<number, Promise<{ choice: number; result: IteratorResult<GenerationEvent> }>>();
  const pull = async (
    choice: number,
  ): Promise<{ choice: number; result: IteratorResult<GenerationEvent> }> => ({
    choice,
    result: await iterators[choice]!.next(),
  });
  let numUnfinished = iterators.length;
  for (const choice of iterators.keys()) pending.set(choice, pull(choice));
  try {
    while (pending.size > 0) {
      const { choice, result } = await Promise.race(pending.values());
      pending.delete(choice);
      if (result.done === true) continue;
      if (result.value.type === 'generation-finished') numUnfinished -= 1;
      yield { choice, event: result.value };
      pending.set(choice, pull(choice));
    }
    if (numUnfinished > 0 && signal.reason instanceof ForetokenError) throw signal.reason;
  } finally {
    abort.abort();
    // Their ends are awaited so that no late failure goes unheard and nothing is left running.
    await Promise.allSettled([...pending.values(), ...iterators.map((iterator) => iterator.return?.())]);
    release();
  }
}
