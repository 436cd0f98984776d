/** How long clients may take, and how many there may be. */
import { number, type Setting } from './setting.ts';

const requestTimeoutSeconds: Setting<number> = {
  flag: 'request-timeout',
  env: ['FORETOKEN_REQUEST_TIMEOUT'],
  placeholder: 'SECONDS',
  default: '600',
  description: 'How long a request may take from its arrival, waiting included, 0 for as long as it needs',
  ...number(0, 86_400, false),
};

const receiveTimeoutSeconds: Setting<number> = {
  flag: 'receive-timeout',
  env: ['FORETOKEN_RECEIVE_TIMEOUT'],
  placeholder: 'SECONDS',
  default: '60',
  description: 'How long a client may take to send a request',
  ...number(0.001, 86_400, false),
};

const sendTimeoutSeconds: Setting<number> = {
  flag: 'send-timeout',
  env: ['FORETOKEN_SEND_TIMEOUT'],
  placeholder: 'SECONDS',
  default: '30',
  description: 'How long a client may take nothing of what is there for it',
  ...number(0.001, 86_400, false),
};

const maxConnections: Setting<number> = {
  flag: 'max-connections',
  env: ['FORETOKEN_MAX_CONNECTIONS'],
  placeholder: 'N',
  default: '4096',
  description: 'Connections at a time, 0 for any number; further ones are closed at once',
  ...number(0, 1_000_000),
};

export const connectionSettings = {
  requestTimeoutSeconds,
  receiveTimeoutSeconds,
  sendTimeoutSeconds,
  maxConnections,
};
