#!/usr/bin/env node
/** The command line: finds the command and says in one line what went wrong. */
import { settingsHelp } from './config.ts';
import { serve } from './cli/serve.ts';
import { ForetokenError } from './errors.ts';
import { version } from './version.ts';

interface Command {
  readonly summary: string;
  readonly run: (args: readonly string[]) => Promise<void>;
}

const commands: Readonly<Record<string, Command>> = {
  serve: { summary: 'Serve a model over HTTP and WebSocket', run: serve },
};

function help(): string {
  const summaries = Object.entries(commands).map(([name, { summary }]) => `  foretoken ${name}  ${summary}`);
  return [
    `foretoken ${version}: speculative decoding with multi-token prediction`,
    '',
    'Usage:',
    ...summaries,
    '  foretoken --help | --version',
    '',
    'Settings, by flag or by environment [in brackets]:',
    settingsHelp(),
  ].join('\n');
}

async function main(args: readonly string[]): Promise<void> {
  const [name = '--help', ...rest] = args;
  if (args.length === 0 || args.includes('--help') || args.includes('-h')) {
    console.log(help());
    return;
  }
  if (name === '--version' || name === '-v') {
    console.log(version);
    return;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const expected = Object.keys(commands).join(', ');
    throw new ForetokenError(
      'invalid_setting',
      `command: expected ${expected}, got ${name}; see foretoken --help`,
    );
  }
  await command.run(rest);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  // A refusal explains itself; anything else is a fault of ours, and its stack is wanted.
  console.error(error instanceof ForetokenError ? `foretoken: ${error.message}` : error);
  process.exit(1);
}
