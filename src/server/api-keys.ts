/** The keys that clients show, as hashes: what is kept here opens nothing. Knows nothing of HTTP or of files. */
import { createHash, timingSafeEqual } from 'node:crypto';

export interface ApiKey {
  /** What logs and limits call its holder. Keys of one name share their limits. */
  readonly name: string;
  readonly sha256: Buffer;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Undefined for what could not be sent as a bearer token. */
export function parseApiKey(key: string, name?: string): ApiKey | undefined {
  if (!/^[\x21-\x7e]{1,512}$/.test(key)) return undefined;
  const hash = sha256(key);
  return { name: name ?? `key-${hash.toString('hex').slice(0, 8)}`, sha256: hash };
}

export class ApiKeys {
  #keys: readonly ApiKey[];

  constructor(keys: readonly ApiKey[]) {
    this.#keys = keys;
  }

  replace(keys: readonly ApiKey[]): void {
    this.#keys = keys;
  }

  /** Null where no key is the given one. Takes as long whichever it is: every hash is compared, and in constant time. */
  nameOf(key: string): string | null {
    const hash = sha256(key);
    let name: string | null = null;
    for (const candidate of this.#keys) if (timingSafeEqual(candidate.sha256, hash)) name = candidate.name;
    return name;
  }
}
