import { spawnSync } from 'node:child_process';
import { describe, expect, it, test } from 'vitest';
import { rejection } from './testing/files.ts';
import { pause, signalOf, TimeoutError, within } from './wait.ts';

const never = new AbortController().signal;
const elapsed = async (action: () => Promise<unknown>) => {
  const started = performance.now();
  await action();
  return performance.now() - started;
};

describe('a pause', () => {
  it('ends at the deadline when that comes first', async () => {
    expect(await elapsed(() => pause(5_000, within(30, never)))).toBeLessThan(1_000);
    expect(await elapsed(() => pause(40, within(5_000, never)))).toBeGreaterThan(35);
  });

  it('ends at once when the deadline has passed', async () => {
    expect(await elapsed(() => pause(5_000, within(-1, never)))).toBeLessThan(500);
  });

  it('rejects with the reason of its signal when aborted', async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('enough')), 10);
    expect((await rejection(pause(5_000, within(5_000, stop.signal)))).message).toBe('enough');
    expect((await rejection(pause(0, within(5_000, stop.signal)))).message).toBe('enough');
  });
});

describe('the signal of a wait', () => {
  test.each([0, 1, 20.5, -5])('fires %s ms from now', async (ms) => {
    const signal = signalOf(within(ms, never));
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    expect(signal.reason).toMatchObject({ name: 'TimeoutError' });
  });
});

/** Waits for a limit of 300 ms that nothing else refers to, collecting garbage. Exit code 1 after 5 s. */
const collected = `
  const { timeLimit } = await import(${JSON.stringify(new URL('./wait.ts', import.meta.url).href)});
  const collect = setInterval(() => gc(), 20);
  const giveUp = setTimeout(() => process.exit(1), 5_000);
  const other = new AbortController();
  await new Promise((resolve) => timeLimit(300, other.signal).addEventListener('abort', resolve));
  clearInterval(collect);
  clearTimeout(giveUp);
`;

it('a time limit survives garbage collection', async () => {
  const args = ['--expose-gc', '--import', 'tsx', '--input-type=module', '-e', collected];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});

describe('a time-out', () => {
  it('names what it waited for, how long, and what was missing', () => {
    expect(new TimeoutError('drain of k8s-node1', 754_000, ['a/b', 'c/d']).message).toBe(
      'drain of k8s-node1: gave up after 12m34s; still pending: a/b, c/d',
    );
    expect(new TimeoutError('x', 1_000).message).toBe('x: gave up after 1.0s');
  });
});
