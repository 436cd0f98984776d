/** Who may ask, and for how much. */
import { isIP } from 'node:net';
import { parseApiKey, type ApiKey } from '../server/api-keys.ts';
import { listOf, number, oneOf, text, type Setting } from './setting.ts';

export const publicRouteNames = ['metrics', 'docs'] as const;

/** What proxy-addr, which Fastify asks, knows by name. */
const addressRangeNames = new Set(['loopback', 'linklocal', 'uniquelocal']);

function parseOrigin(value: string): string | undefined {
  return value === '*' || (URL.canParse(value) && new URL(value).origin === value) ? value : undefined;
}

function parseAddressRange(value: string): string | undefined {
  if (addressRangeNames.has(value)) return value;
  const [address = '', bits = '0', ...rest] = value.split('/');
  const version = isIP(address);
  const isRange = /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
  return version !== 0 && isRange && rest.length === 0 ? value : undefined;
}

const apiKeys: Setting<readonly ApiKey[]> = {
  flag: 'api-key',
  env: ['FORETOKEN_API_KEY'],
  placeholder: 'KEY[,KEY]',
  description:
    'Keys that clients must show (Authorization: Bearer KEY); arguments are visible to other users',
  isSecret: true,
  ...listOf({
    expected: 'a key of up to 512 visible ASCII characters',
    parse: (key) => parseApiKey(key),
  }),
};

const apiKeyFile: Setting<string | null> = {
  flag: 'api-key-file',
  env: ['FORETOKEN_API_KEY_FILE'],
  placeholder: 'FILE',
  description: 'File of such keys, each a line, KEY or NAME:KEY, # for comments; read again on SIGHUP',
  absent: null,
  ...text(),
};

const publicRoutes: Setting<readonly (typeof publicRouteNames)[number][]> = {
  flag: 'public-routes',
  env: ['FORETOKEN_PUBLIC_ROUTES'],
  placeholder: publicRouteNames.join(','),
  description: 'What needs no key beside /health and /ready where keys are set',
  ...listOf(oneOf(publicRouteNames)),
};

const maxConcurrentPerKey: Setting<number> = {
  flag: 'max-concurrent-per-key',
  env: ['FORETOKEN_MAX_CONCURRENT_PER_KEY'],
  placeholder: 'N',
  default: '0',
  description: 'Sequences that one key, or without keys one address, may have running or waiting, 0 for any',
  ...number(0, 65_536),
};

const requestsPerMinute: Setting<number> = {
  flag: 'requests-per-minute',
  env: ['FORETOKEN_REQUESTS_PER_MINUTE'],
  placeholder: 'N',
  default: '0',
  description: 'Generations that one key, or without keys one address, may ask for a minute, 0 for any',
  ...number(0, 1_000_000),
};

const corsOrigins: Setting<readonly string[]> = {
  flag: 'cors-origin',
  env: ['FORETOKEN_CORS_ORIGIN'],
  placeholder: 'ORIGIN[,ORIGIN]',
  description: 'Other origins whose pages may ask, * for any',
  ...listOf({ expected: 'an origin such as https://example.org, or *', parse: parseOrigin }),
};

const trustedProxies: Setting<readonly string[]> = {
  flag: 'trust-proxy',
  env: ['FORETOKEN_TRUST_PROXY'],
  placeholder: 'ADDRESS[,ADDRESS]',
  description: 'Proxies whose X-Forwarded-For tells the address of a client; ADDRESS/BITS or loopback too',
  ...listOf({
    expected: 'an address, ADDRESS/BITS, loopback, linklocal or uniquelocal',
    parse: parseAddressRange,
  }),
};

export const accessSettings = {
  apiKeys,
  apiKeyFile,
  publicRoutes,
  maxConcurrentPerKey,
  requestsPerMinute,
  corsOrigins,
  trustedProxies,
};
