/** The server's settings: one table says how each is named, parsed, defaulted and explained. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ForetokenError } from './errors.ts';
import { accessSettings } from './settings/access.ts';
import { connectionSettings } from './settings/connections.ts';
import { number, oneOf, text, type Setting, type ValuesOf } from './settings/setting.ts';

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

const table = {
  model: {
    flag: 'model',
    env: ['FORETOKEN_MODEL'],
    placeholder: 'FOLDER',
    description: 'Model folder, with genai_config.json (default: the bundled model)',
    ...text(),
  },
  host: {
    flag: 'host',
    env: ['FORETOKEN_HOST', 'HOST'],
    placeholder: 'ADDRESS',
    default: '127.0.0.1',
    description: 'Address to listen on',
    ...text(),
  },
  port: {
    flag: 'port',
    env: ['FORETOKEN_PORT', 'PORT'],
    placeholder: 'N',
    default: '8080',
    description: 'Port to listen on, 0 for any free one',
    ...number(0, 65_535),
  },
  numThreads: {
    flag: 'threads',
    env: ['FORETOKEN_THREADS'],
    placeholder: 'N',
    default: '0',
    description:
      'Threads of a forward, 0 for as many as are fastest, more while no other worker has a request',
    ...number(0, 1024),
  },
  numWorkers: {
    flag: 'workers',
    env: ['FORETOKEN_WORKERS'],
    placeholder: 'N',
    default: '0',
    description: 'Workers with a model each, 0 for as many as have cores for their threads',
    ...number(0, 64),
  },
  maxNumSeqs: {
    flag: 'max-num-seqs',
    env: ['FORETOKEN_MAX_NUM_SEQS'],
    placeholder: 'N',
    default: '8',
    description: 'Sequences that are generated at the same time, by all workers in turns',
    ...number(1, 256),
  },
  maxQueue: {
    flag: 'max-queue',
    env: ['FORETOKEN_MAX_QUEUE'],
    placeholder: 'N',
    default: '64',
    description: 'Sequences that may wait; more are refused with 429',
    ...number(0, 65_536),
  },
  kvCacheMib: {
    flag: 'kv-cache-mib',
    env: ['FORETOKEN_KV_CACHE_MIB'],
    placeholder: 'N',
    default: '0',
    description:
      'Memory of running and kept sequences, in MiB, 0 for --max-num-seqs whole contexts, at least 256',
    ...number(0, 1_048_576),
  },
  prefixCache: {
    flag: 'prefix-cache',
    env: ['FORETOKEN_PREFIX_CACHE'],
    placeholder: 'on|off',
    default: 'on',
    description:
      'Whether prompts reuse what earlier ones that begin alike computed; --no-prefix-cache is off',
    offFlag: 'no-prefix-cache',
    ...oneOf(['on', 'off']),
  },
  numDraftTokens: {
    flag: 'num-draft-tokens',
    env: ['FORETOKEN_NUM_DRAFT_TOKENS'],
    placeholder: 'N',
    default: '0',
    description: "Most drafts a round where a request does not say, 0 for the model's own default",
    ...number(0, 64),
  },
  speculation: {
    flag: 'speculation',
    env: ['FORETOKEN_SPECULATION'],
    placeholder: 'auto|off',
    default: 'auto',
    description: 'Whether to speculate where a request does not say',
    ...oneOf(['auto', 'off']),
  },
  maxBodyMib: {
    flag: 'max-body-mib',
    env: ['FORETOKEN_MAX_BODY_MIB'],
    placeholder: 'N',
    default: '4',
    description: 'Largest request body or socket message, in MiB',
    ...number(0.001, 256, false),
  },
  shutdownTimeoutSeconds: {
    flag: 'shutdown-timeout',
    env: ['FORETOKEN_SHUTDOWN_TIMEOUT'],
    placeholder: 'SECONDS',
    default: '30',
    description: 'How long running requests may go on after SIGTERM or SIGINT',
    ...number(0, 86_400, false),
  },
  logLevel: {
    flag: 'log-level',
    env: ['FORETOKEN_LOG_LEVEL'],
    placeholder: 'LEVEL',
    default: 'info',
    description: `One of ${logLevels.join(', ')}`,
    ...oneOf(logLevels),
  },
  ...connectionSettings,
  ...accessSettings,
};

export type Settings = ValuesOf<typeof table>;

const modelsFolder = fileURLToPath(new URL('../models', import.meta.url));

/** The one model that comes with the package. */
export function defaultModelFolder(root: string = modelsFolder): string {
  const folders = existsSync(root)
    ? readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    : [];
  const models = folders.filter(({ name }) => existsSync(join(root, name, 'genai_config.json')));
  if (models.length === 1) return join(root, models[0]!.name);
  const found = models.length > 0 ? models : folders;
  const names = found.map(({ name }) => name).join(', ') || 'nothing';
  const message = `--model: expected one folder with genai_config.json in ${root}, found ${names}; name one with --model`;
  throw new ForetokenError('invalid_setting', message, '--model');
}

const settings: Readonly<Record<string, Setting<unknown>>> = table;

function flagValues(args: readonly string[]): Partial<Record<string, string>> {
  const options: Record<string, { type: 'string' | 'boolean'; multiple?: boolean }> = {};
  for (const { flag, offFlag, isList = false } of Object.values(settings)) {
    options[flag] = { type: 'string', multiple: isList };
    if (offFlag !== undefined) options[offFlag] = { type: 'boolean' };
  }
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false });
    const texts: Partial<Record<string, string>> = {};
    for (const { flag, offFlag } of Object.values(settings)) {
      const value = values[flag];
      if (value !== undefined) texts[flag] = String(value);
      if (offFlag !== undefined && values[offFlag] === true) texts[flag] = 'off';
    }
    return texts;
  } catch (error) {
    const [sentence = ''] = String(error)
      .replace(/^TypeError(?: \[\w+\])?: /, '')
      .split('. ');
    throw new ForetokenError('invalid_setting', `${sentence}; see foretoken --help`, null, { cause: error });
  }
}

/** Flags win over the environment, and `FORETOKEN_` names over general ones. An empty variable is an absent one. */
export function readSettings(args: readonly string[], env: NodeJS.ProcessEnv): Settings {
  const flags = flagValues(args);
  const read = (setting: Setting<unknown>): unknown => {
    const name = setting.env.find((candidate) => (env[candidate] ?? '') !== '');
    const given = flags[setting.flag] ?? (name === undefined ? setting.default : env[name]);
    if (given === undefined) return setting.absent;
    const value = setting.parse(given);
    if (value !== undefined) return value;
    const source = flags[setting.flag] === undefined ? `${name} (--${setting.flag})` : `--${setting.flag}`;
    const got = setting.isSecret === true ? 'something else' : JSON.stringify(given);
    const message = `${source}: expected ${setting.expected}, got ${got}`;
    throw new ForetokenError('invalid_setting', message, `--${setting.flag}`);
  };
  const values = Object.fromEntries(
    Object.entries(settings).map(([name, setting]) => [name, read(setting)]),
  ) as Settings;
  return { ...values, model: values.model ?? defaultModelFolder() };
}

/** The settings' part of `--help`. */
export function settingsHelp(): string {
  const rows = Object.values(settings).map((setting) => ({
    flag: `--${setting.flag} ${setting.placeholder}`,
    text:
      setting.default === undefined
        ? setting.description
        : `${setting.description} (default: ${setting.default})`,
    env: setting.env.join(', '),
  }));
  const width = Math.max(...rows.map(({ flag }) => flag.length));
  return rows.map(({ flag, text: help, env }) => `  ${flag.padEnd(width)}  ${help} [${env}]`).join('\n');
}
