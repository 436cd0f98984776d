/** Clients of every kind, each doing one request after the other, on loopback and never more than there are clients. */
import { completeOverHttp } from './http-client.ts';
import type { ClientBehaviour, ClientOutcome } from './client-outcome.ts';
import { respondOverSocket } from './socket-client.ts';
import { prompts } from '../bench/prompts.ts';

const PAUSE_MS = 20;
/** Beyond any answer's time here: a request that takes longer hangs. */
const HANG_MS = 120_000;

const below = (limit: number): number => Math.floor(Math.random() * limit);

/** One request of a kind by chance: short or long, read to the end, slowly, or not to the end. */
export async function oneRequest(baseUrl: string): Promise<ClientOutcome> {
  const { text } = prompts[below(prompts.length)]!;
  const isLong = below(4) === 0;
  const numTokens = isLong ? 150 + below(250) : 1 + below(40);
  const behaviours: readonly ClientBehaviour[] = [
    {},
    {},
    { leaveAfter: 1 + below(10) },
    { leaveAfter: 1 + below(10), byCancel: true },
    { pauseMs: PAUSE_MS },
  ];
  const behaviour = behaviours[below(behaviours.length)]!;
  const common = { ignore_eos: below(2) === 0, temperature: below(2), cache_prompt: below(4) > 0 };
  if (below(3) === 0)
    return await respondOverSocket(
      baseUrl,
      { ...common, input: text, max_output_tokens: numTokens },
      behaviour,
    );
  const stream = behaviour.leaveAfter !== undefined || behaviour.pauseMs !== undefined || below(3) > 0;
  return await completeOverHttp(
    baseUrl,
    { ...common, prompt: text, max_tokens: numTokens, stream },
    behaviour,
  );
}

/** Clients that go on until they are stopped. */
export class MixedLoad {
  readonly outcomes: ClientOutcome[] = [];
  private isStopped = false;
  private readonly clients: readonly Promise<void>[];

  constructor(numClients: number, one: () => Promise<ClientOutcome>) {
    this.clients = Array.from({ length: numClients }, async () => {
      while (!this.isStopped) this.outcomes.push(await withinTime(one()));
    });
  }

  async stop(): Promise<readonly ClientOutcome[]> {
    this.isStopped = true;
    await Promise.all(this.clients);
    return this.outcomes;
  }
}

async function withinTime(request: Promise<ClientOutcome>): Promise<ClientOutcome> {
  let timer: NodeJS.Timeout | undefined;
  const hanging = new Promise<ClientOutcome>((resolve) => {
    timer = setTimeout(() => resolve({ kind: 'lost', reason: 'it hangs' }), HANG_MS);
  });
  const outcome = await Promise.race([request, hanging]);
  clearTimeout(timer);
  return outcome;
}
