import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** A command of this package as its own process, with what it prints. */
export class ServerProcess {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly exitCode: Promise<number | null>;

  /** `file` is a TypeScript file, relative to the repository; `stdout` a file descriptor in place of the log kept here. */
  constructor(
    file: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    stdout: 'pipe' | number = 'pipe',
  ) {
    this.child = spawn(process.execPath, ['--import', 'tsx', file, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', stdout, 'pipe'],
    });
    this.child.stdout?.on('data', (data: Buffer) => (this.stdout += data.toString()));
    this.child.stderr!.on('data', (data: Buffer) => (this.stderr += data.toString()));
    this.exitCode = once(this.child, 'close').then(() => this.child.exitCode);
  }

  /** The log's lines, which are JSON objects. */
  get log(): Record<string, unknown>[] {
    const lines = this.stdout.split('\n').slice(0, -1);
    return lines.map((line): Record<string, unknown> => JSON.parse(line));
  }

  /** The log's first line with this message; fails if the process ends before. */
  async logged(message: string): Promise<Record<string, unknown>> {
    let hasEnded = false;
    void this.exitCode.then(() => (hasEnded = true));
    for (;;) {
      const line = this.log.find(({ msg }) => msg === message);
      if (line !== undefined) return line;
      if (hasEnded) throw new Error(`ended before "${message}": ${this.stderr}`);
      await Promise.race([once(this.child.stdout!, 'data'), this.exitCode]);
    }
  }

  /** The address it serves on, once it is ready. */
  async baseUrl(): Promise<string> {
    return String((await this.logged('ready'))['url']);
  }
}
