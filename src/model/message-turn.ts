/** A run blocks its thread. Messages are taken before each of the target's, so that an abort waits for no more than a round. */
import { setImmediate } from 'node:timers/promises';

export const letMessagesIn = async (): Promise<void> => setImmediate();
