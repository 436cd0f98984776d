/** Shared libraries, called with koffi, whose settings must come before the first of them. */
import koffi from 'koffi';

/** An address; null is none. */
export type Pointer = bigint | null;

/** Calls run on a stack of their own, and graphs are optimised by recursion. */
const STACK_BYTES = 8 * 1024 * 1024;

koffi.config({ ...koffi.config(), sync_stack_size: STACK_BYTES });

/** To be kept: a library is unloaded with this object, whoever has functions of it. Throws what loading it throws. */
export const loadLibrary = (path: string): ReturnType<typeof koffi.load> => koffi.load(path);
