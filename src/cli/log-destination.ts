/**
 * Where the log goes: standard output. What cannot be written, to a full disk, a closed pipe or one that nobody empties,
 * is kept for the next line's turn, up to a limit, and serving goes on.
 */
import { pino } from 'pino';

const maxUnwrittenBytes = 1024 * 1024;

export function standardOutput(): ReturnType<typeof pino.destination> {
  const destination = pino.destination({
    dest: process.stdout.fd,
    // The other kind tries for ever to write the rest when the process exits.
    sync: true,
    maxLength: maxUnwrittenBytes,
    retryEAGAIN: () => false,
  });
  // Without a listener, an error would end the process.
  destination.on('error', () => {});
  return destination;
}
