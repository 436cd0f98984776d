/** Keys from a file and into a running server. */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { ForetokenError } from '../errors.ts';
import { ApiKeys, parseApiKey, type ApiKey } from '../server/api-keys.ts';

const flag = '--api-key-file';

function parseLine(line: string): ApiKey | undefined {
  const colon = line.indexOf(':');
  if (colon < 0) return parseApiKey(line);
  const name = line.slice(0, colon).trim();
  return name === '' ? undefined : parseApiKey(line.slice(colon + 1).trim(), name);
}

/** `KEY` or `NAME:KEY` a line; empty lines and those that begin with # say nothing. No message quotes a line. */
export function readApiKeyFile(file: string): readonly ApiKey[] {
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new ForetokenError('invalid_setting', `${flag}: cannot read ${file}: ${reason}`, flag, {
      cause: error,
    });
  }
  const keys: ApiKey[] = [];
  for (const [index, line] of content.split('\n').entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const key = parseLine(trimmed);
    if (key === undefined) {
      const message = `${flag}: ${file}, line ${index + 1}: expected KEY or NAME:KEY, got something else`;
      throw new ForetokenError('invalid_setting', message, flag);
    }
    keys.push(key);
  }
  if (keys.length === 0)
    throw new ForetokenError('invalid_setting', `${flag}: expected keys in ${file}, got none`, flag);
  return keys;
}

export interface KeySettings {
  readonly apiKeys: readonly ApiKey[];
  readonly apiKeyFile: string | null;
}

/** Null where no keys are set. The file is read again at each SIGHUP; where it is of no use, the old keys stay. */
export function openApiKeys({ apiKeys, apiKeyFile }: KeySettings, logger: Logger): ApiKeys | null {
  if (apiKeyFile === null) return apiKeys.length === 0 ? null : new ApiKeys(apiKeys);
  const readAll = (): readonly ApiKey[] => [...apiKeys, ...readApiKeyFile(apiKeyFile)];
  const keys = new ApiKeys(readAll());
  process.on('SIGHUP', () => {
    try {
      const all = readAll();
      keys.replace(all);
      logger.info({ file: apiKeyFile, numKeys: all.length }, 'API keys reloaded');
    } catch (err) {
      logger.error({ err }, 'API keys not reloaded, the old ones stay');
    }
  });
  return keys;
}
