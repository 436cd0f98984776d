import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defaultModelFolder, readSettings, settingsHelp } from '../../src/config.ts';
import { ForetokenError } from '../../src/errors.ts';

const model = ['--model', '/models/any'];

function refusal(read: () => unknown): ForetokenError {
  try {
    read();
  } catch (error) {
    if (error instanceof ForetokenError) return error;
    throw error;
  }
  throw new Error('expected a refusal');
}

describe('readSettings', () => {
  test('has defaults for everything but the model', () => {
    expect(readSettings(model, {})).toEqual({
      model: '/models/any',
      host: '127.0.0.1',
      port: 8080,
      numThreads: 0,
      numWorkers: 0,
      maxNumSeqs: 8,
      maxQueue: 64,
      kvCacheMib: 0,
      prefixCache: 'on',
      numDraftTokens: 0,
      speculation: 'auto',
      maxBodyMib: 4,
      shutdownTimeoutSeconds: 30,
      logLevel: 'info',
      requestTimeoutSeconds: 600,
      receiveTimeoutSeconds: 60,
      sendTimeoutSeconds: 30,
      maxConnections: 4096,
      apiKeys: [],
      apiKeyFile: null,
      publicRoutes: [],
      maxConcurrentPerKey: 0,
      requestsPerMinute: 0,
      corsOrigins: [],
      trustedProxies: [],
    });
  });

  test('prefers flags to the environment, and its own names to general ones', () => {
    const env = {
      PORT: '1',
      FORETOKEN_PORT: '2',
      HOST: '0.0.0.0',
      FORETOKEN_LOG_LEVEL: '',
      FORETOKEN_SPECULATION: 'off',
    };
    expect(readSettings(model, env)).toMatchObject({
      port: 2,
      host: '0.0.0.0',
      logLevel: 'info',
      speculation: 'off',
    });
    expect(readSettings([...model, '--port=3'], env).port).toBe(3);
    expect(readSettings([...model, '--port', '3'], { FORETOKEN_PORT: 'nonsense' }).port).toBe(3);
  });

  test('turns the prefix cache off by a flag of its own too', () => {
    const env = { FORETOKEN_PREFIX_CACHE: 'off' };
    expect(readSettings(model, env).prefixCache).toBe('off');
    expect(readSettings([...model, '--prefix-cache', 'on'], env).prefixCache).toBe('on');
    expect(readSettings([...model, '--no-prefix-cache'], {}).prefixCache).toBe('off');
    expect(refusal(() => readSettings([...model, '--no-prefix-cache=1'], {})).message).toContain(
      'does not take an argument',
    );
  });

  test.each([
    [['--port', 'http'], {}, '--port: expected an integer from 0 to 65535, got "http"'],
    [['--port', '65536'], {}, 'got "65536"'],
    [[], { PORT: '-1' }, 'PORT (--port): expected an integer from 0 to 65535, got "-1"'],
    [['--max-num-seqs', '0'], {}, 'from 1 to 256'],
    [['--threads', '1.5'], {}, 'an integer'],
    [['--max-body-mib', '1e3'], {}, 'a number'],
    [['--kv-cache-mib', 'all'], {}, 'an integer from 0'],
    [['--prefix-cache', 'maybe'], {}, 'expected on | off, got "maybe"'],
    [['--speculation', 'on'], {}, 'expected auto | off, got "on"'],
    [[], { FORETOKEN_LOG_LEVEL: 'loud' }, 'FORETOKEN_LOG_LEVEL (--log-level): expected fatal | error'],
    [['--cors-origin', 'https://a.example/page'], {}, '--cors-origin: expected an origin such as'],
    [['--cors-origin', 'https://a.example,'], {}, 'got "https://a.example,"'],
    [['--public-routes', 'metrics,health'], {}, 'expected metrics | docs, or several'],
    [['--trust-proxy', '10.0.0.0/33'], {}, 'ADDRESS/BITS'],
    [['--trust-proxy', 'on'], {}, 'got "on"'],
    [['--api-key', ''], {}, '--api-key: expected a key'],
    [['--nonsense'], {}, "Unknown option '--nonsense'"],
    [['--port'], {}, 'argument missing'],
    [['stray'], {}, 'stray'],
  ])('refuses %j with %j', (args, env, message) => {
    const error = refusal(() => readSettings([...model, ...args], env));
    expect(error.code).toBe('invalid_setting');
    expect(error.message).toContain(message);
    expect(error.message).not.toContain('\n');
  });
});

describe('lists', () => {
  test('are given with commas, several times, or in the environment', () => {
    const args = ['--cors-origin', 'https://a.example', '--cors-origin=http://localhost:3000,*'];
    const env = {
      FORETOKEN_PUBLIC_ROUTES: 'metrics, docs',
      FORETOKEN_TRUST_PROXY: 'loopback,10.0.0.0/8,::1',
    };
    expect(readSettings([...model, ...args], env)).toMatchObject({
      corsOrigins: ['https://a.example', 'http://localhost:3000', '*'],
      publicRoutes: ['metrics', 'docs'],
      trustedProxies: ['loopback', '10.0.0.0/8', '::1'],
    });
  });

  test('of keys hold hashes, and no message has a key', () => {
    const settings = readSettings([...model, '--api-key', 'sk-one', '--api-key', 'sk-two'], {});
    expect(settings.apiKeys.map(({ name }) => name)).toEqual(['key-456f1612', 'key-5e312785']);
    expect(JSON.stringify(settings)).not.toContain('sk-');
    const refused = refusal(() => readSettings(model, { FORETOKEN_API_KEY: 'sk-one,sk two' }));
    expect(refused.message).toContain('FORETOKEN_API_KEY (--api-key): expected a key');
    expect(refused.message).not.toContain('sk');
  });
});

test('settingsHelp explains every flag with its variables and default', () => {
  const lines = settingsHelp().split('\n');
  expect(lines).toHaveLength(25);
  expect(lines.every((line) => /^ {2}--[a-z-]+ \S+ +\S.* \[FORETOKEN_[A-Z_]+(, [A-Z]+)?\]$/.test(line))).toBe(
    true,
  );
  expect(settingsHelp()).toMatch(
    /--port N +Port to listen on, 0 for any free one \(default: 8080\) \[FORETOKEN_PORT, PORT\]/,
  );
});

describe('defaultModelFolder', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'models-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const add = (name: string, file: string): void => {
    mkdirSync(join(root, name));
    writeFileSync(join(root, name, file), '{}');
  };

  test('is the only folder that is a model', () => {
    add('other', 'README.md');
    expect(refusal(() => defaultModelFolder(root)).message).toContain('found other');
    add('model', 'genai_config.json');
    expect(defaultModelFolder(root)).toBe(join(root, 'model'));
  });

  test('is refused where there is none or a choice, with what is there', () => {
    expect(refusal(() => defaultModelFolder(join(root, 'absent'))).message).toContain('found nothing');
    add('a', 'genai_config.json');
    add('b', 'genai_config.json');
    expect(refusal(() => defaultModelFolder(root)).message).toContain('found a, b');
  });
});
