import { afterEach, describe, expect, it } from 'vitest';
import type { Lane } from '../../../src/engine/lane.ts';
import { Lockstep } from '../../../src/engine/lockstep.ts';
import { Scheduler, type Turns } from '../../../src/engine/scheduler.ts';
import { ScriptedTarget } from '../../support/scripted-model.ts';

const target = new ScriptedTarget();
const lockstep = new Lockstep(
  { target, mtp: null, shared: [], solo: null },
  () => {
    throw new Error('expected no pass');
  },
  () => false,
);
const newLane = (): Lane => lockstep.newLane();

async function* noTurns(): Turns {}

const nextTick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('Scheduler', () => {
  let stop: () => Promise<void>;
  afterEach(() => stop());

  function start(maxNumSeqs: number): {
    log: string[];
    scheduler: Scheduler;
    add: (id: number, numTurns: number) => void;
    idle: () => Promise<void>;
  } {
    const log: string[] = [];
    const scheduler = new Scheduler(
      maxNumSeqs,
      {
        started: (id) => log.push(`start ${id}`),
        failed: (id, error) => log.push(`fail ${id}: ${(error as Error).message}`),
      },
      lockstep,
    );
    const done = scheduler.run();
    stop = async () => {
      scheduler.close();
      await done;
    };
    const open = new Set<number>();
    async function* turns(id: number, numTurns: number): Turns {
      open.add(id);
      try {
        for (let turn = 1; turn <= numTurns; turn += 1) {
          log.push(`${id}.${turn}`);
          await nextTick();
          if (turn < numTurns) yield turn % 2 === 1 ? 'together' : 'alone';
        }
      } finally {
        open.delete(id);
      }
    }
    const idle = async (): Promise<void> => {
      do await nextTick();
      while (open.size > 0);
      await nextTick();
    };
    const add = (id: number, numTurns: number): void =>
      scheduler.add(id, () => ({
        turns: turns(id, numTurns),
        lane: newLane(),
        release: (hasFailed) => log.push(hasFailed ? `lost ${id}` : `end ${id}`),
      }));
    return { log, scheduler, add, idle };
  }

  it('gives each a turn before any gets a second', async () => {
    const { log, add, idle } = start(3);
    for (const id of [1, 2, 3]) add(id, 3);
    await idle();
    const turns = log.filter((entry) => /^\d/.test(entry));
    expect(turns).toEqual(['1.1', '2.1', '3.1', '1.2', '2.2', '3.2', '1.3', '2.3', '3.3']);
  });

  it('lets the next begin when one has ended, in the order they came', async () => {
    const { log, add, idle } = start(1);
    for (const id of [1, 2, 3]) add(id, 1);
    await idle();
    expect(log).toEqual(['start 1', '1.1', 'end 1', 'start 2', '2.1', 'end 2', 'start 3', '3.1', 'end 3']);
  });

  it('works again after it had nothing to do', async () => {
    const { log, add, idle } = start(2);
    add(1, 1);
    await idle();
    add(2, 1);
    await idle();
    expect(log).toEqual(['start 1', '1.1', 'end 1', 'start 2', '2.1', 'end 2']);
  });

  it('ends an aborted one before its next turn, and never begins one that waits', async () => {
    const { log, scheduler, add, idle } = start(1);
    add(1, 100);
    add(2, 1);
    add(3, 1);
    await nextTick();
    scheduler.abort(1);
    scheduler.abort(2);
    scheduler.abort(99);
    await idle();
    expect(log).toContain('end 1');
    expect(log).not.toContain('1.100');
    expect(log).not.toContain('start 2');
    expect(log).toContain('3.1');
  });

  it('takes a new job under the id of one that was aborted', async () => {
    const { log, scheduler, add, idle } = start(1);
    add(1, 100);
    await nextTick();
    scheduler.abort(1);
    add(1, 2);
    await idle();
    expect(log.filter((entry) => entry === 'start 1')).toHaveLength(2);
    expect(log.slice(-3)).toEqual(['1.1', '1.2', 'end 1']);
  });

  it('tells of one that fails and goes on with the others', async () => {
    const { log, scheduler, add, idle } = start(2);
    // oxlint-disable-next-line require-yield
    async function* failing(): Turns {
      throw new Error('no luck');
    }
    scheduler.add(1, () => ({
      turns: failing(),
      lane: newLane(),
      release: (hasFailed) => log.push(`release 1: ${String(hasFailed)}`),
    }));
    add(2, 2);
    await idle();
    expect(log).toEqual(['start 1', 'start 2', 'fail 1: no luck', 'release 1: true', '2.1', '2.2', 'end 2']);
  });

  it('releases one that is aborted between its admission and its first turn', async () => {
    const { log, scheduler, add } = start(2);
    add(1, 3);
    scheduler.add(2, () => {
      scheduler.abort(1);
      return null;
    });
    await nextTick();
    expect(log).toEqual(['start 1', 'end 1', 'fail 2: expected room for a request that runs alone']);
  });

  it('lets all wait behind one that has no room, in the order they came', async () => {
    const { log, scheduler, add, idle } = start(3);
    let numAsked = 0;
    add(1, 3);
    scheduler.add(2, () => {
      numAsked += 1;
      return log.includes('end 1')
        ? { turns: noTurns(), lane: newLane(), release: () => log.push('end 2') }
        : null;
    });
    add(3, 1);
    await idle();
    expect(numAsked).toBeGreaterThan(1);
    expect(log.filter((entry) => !/^\d/.test(entry))).toEqual([
      'start 1',
      'end 1',
      'start 2',
      'start 3',
      'end 2',
      'end 3',
    ]);
  });

  it('fails one that has no room when nothing runs, rather than wait for ever', async () => {
    const { log, scheduler, add, idle } = start(1);
    scheduler.add(1, () => null);
    add(2, 1);
    await idle();
    expect(log).toEqual(['fail 1: expected room for a request that runs alone', 'start 2', '2.1', 'end 2']);
  });

  it('gives back what runs when it is closed, and begins nothing more', async () => {
    const { log, add } = start(1);
    add(1, 100);
    add(2, 1);
    await nextTick();
    await stop();
    expect(log.at(-1)).toBe('end 1');
    expect(log).not.toContain('start 2');
  });
});
