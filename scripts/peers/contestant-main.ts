/** The process of one contestant: opens its runtime, then decodes what it is sent, one prompt at a time. */
import { RUNTIMES, type Contestant } from './contestant.ts';
import type { FromContestant, ToContestant } from './contestant-process.ts';
import type { OpenRuntime } from './runtime.ts';

const contestant = JSON.parse(process.argv[2]!) as Contestant;
const { openRuntime } = (await import(`./runtimes/${RUNTIMES[contestant.runtime]}.ts`)) as {
  readonly openRuntime: OpenRuntime;
};
const runtime = await openRuntime(contestant);
const send = (message: FromContestant): void => {
  process.send!(message);
};

async function answer({ promptIds, numTokens }: ToContestant): Promise<void> {
  try {
    send({ type: 'decoded', ...(await runtime.decode(promptIds, numTokens)) });
  } catch (error) {
    send({ type: 'failed', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}

process.on('message', (message: ToContestant) => {
  void answer(message);
});
send({ type: 'opened' });
