/** `foretoken serve`, as built, in a process of its own, as scripts that put load on it see it. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';

export class ServedProcess {
  readonly child: ChildProcess;
  readonly exitCode: Promise<number | null>;
  baseUrl = '';

  private constructor(args: readonly string[], env: NodeJS.ProcessEnv) {
    this.child = fork('dist/main.js', ['serve', '--port', '0', ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    this.exitCode = once(this.child, 'exit').then(() => this.child.exitCode);
  }

  /** Resolves when all of its workers are ready for requests. */
  static async start(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<ServedProcess> {
    const server = new ServedProcess(args, env);
    const lines = createInterface({ input: server.child.stdout! });
    await new Promise<void>((resolve, reject) => {
      let isComplete = false;
      lines.on('line', (line) => {
        const { msg, url } = JSON.parse(line) as { msg: string; url?: string };
        if (msg === 'all workers ready') isComplete = true;
        if (msg === 'ready' && url !== undefined) server.baseUrl = url;
        if (isComplete && server.baseUrl !== '') resolve();
      });
      void server.exitCode.then((code) => reject(new Error(`the server ended with exit code ${code}`)));
    });
    return server;
  }

  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM');
    return await this.exitCode;
  }

  /** Resident memory, in MiB. */
  async residentMib(): Promise<number> {
    const status = await readFile(`/proc/${this.child.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  }

  /** On a connection of its own, which is gone afterwards. */
  async get(path: string): Promise<{ readonly status: number; readonly body: string }> {
    const call = request(`${this.baseUrl}${path}`, { agent: false }).end();
    const [response] = (await once(call, 'response')) as [AsyncIterable<Buffer> & { statusCode?: number }];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    return { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() };
  }

  async metrics(): Promise<ServedMetrics> {
    return new ServedMetrics((await this.get('/metrics')).body);
  }
}

/** One scrape. */
export class ServedMetrics {
  private readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** Sum over the series of that name which have the label, if one is given. */
  sum(name: string, label = ''): number {
    let total = 0;
    for (const line of this.text.split('\n')) {
      const [, found, labels = '', value] = /^([\w:]+)(\{.*\})? (\S+)$/.exec(line) ?? [];
      if (found === name && labels.includes(label)) total += Number(value);
    }
    return total;
  }

  /** Requests by how they ended, as the server has it. */
  outcomes(): { readonly finished: number; readonly abort: number; readonly error: number } {
    const count = (reason: string): number =>
      this.sum('vllm:request_success_total', `finished_reason="${reason}"`);
    return { finished: count('stop') + count('length'), abort: count('abort'), error: count('error') };
  }

  get isIdle(): boolean {
    const gauges = ['vllm:num_requests_running', 'vllm:num_requests_waiting', 'vllm:kv_cache_usage_perc'];
    return gauges.every((name) => this.sum(name) === 0);
  }
}
