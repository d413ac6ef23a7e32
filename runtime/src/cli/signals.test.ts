import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { watchSignals } from './signals.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function watch() {
  const process = Object.assign(new EventEmitter(), { exit: vi.fn(), stderr: { write: vi.fn() } });
  const signals = watchSignals(process as unknown as NodeJS.Process);
  const state = () => ({ stop: signals.stop.aborted, kill: signals.kill.aborted });
  return { process, signals, state };
}

it('the first signal stops the program, the second one kills it', () => {
  const { process, signals, state } = watch();
  expect(state()).toEqual({ stop: false, kill: false });
  process.emit('SIGTERM');
  expect(state()).toEqual({ stop: true, kill: false });
  expect(signals.stop.reason).toMatchObject({ exitCode: 143 });
  process.emit('SIGINT');
  expect(state()).toEqual({ stop: true, kill: true });
  expect(signals.kill.reason).toMatchObject({ exitCode: 130 });
});

it('after one signal a program that waits for something is ended within the grace period of a pod', () => {
  const { process, state } = watch();
  process.emit('SIGTERM');
  vi.advanceTimersByTime(15_000);
  expect(state().kill).toBe(false);
  vi.advanceTimersByTime(6_000);
  expect(state().kill).toBe(true);
  expect(process.exit).not.toHaveBeenCalled();
  vi.advanceTimersByTime(8_000);
  expect(process.exit.mock.calls).toEqual([[143]]);
  expect(process.stderr.write.mock.calls).toEqual([
    ['interrupted by SIGTERM; the next run continues from here\n'],
  ]);
});

it('the limits do not keep a program alive that has ended', () => {
  vi.useRealTimers();
  // Only those that keep a program alive.
  const timers = () =>
    globalThis.process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const { process } = watch();
  const before = timers();
  process.emit('SIGTERM');
  expect(timers()).toBe(before);
});
