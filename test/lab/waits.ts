import { setTimeout as sleep } from 'node:timers/promises';

/** No run in a lab takes longer, nor anything in it: what has not ended by then hangs. Milliseconds. */
const longest = 120_000;

/**
 * Waits for what is to happen in the course of a run. A run that ends before would be waited on for ever: it
 * throws, with what the run said.
 *
 * @param running resolves with how the run ended, in an object of any form. /
 */
export function during<T>(running: Promise<object>, awaited: Promise<T>): Promise<T> {
  const endedBefore = running.then((end) => {
    throw new Error(`the run ended before it came to that: ${Object.values(end).join('\n')}`);
  });
  return Promise.race([awaited, endedBefore]);
}

/** @throws Error when it takes longer than anything should. */
export function limited<T>(what: string, awaited: Promise<T>): Promise<T> {
  const over = sleep(longest, undefined, { ref: false }).then(() => {
    throw new Error(`${what}: no end after ${longest / 1000} s`);
  });
  return Promise.race([awaited, over]);
}

/** Asks again and again. @throws Error when it is not so for longer than anything should take. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + longest; !(await isSo()); await sleep(50))
    if (Date.now() > deadline) throw new Error(`after ${longest / 1000} s it is not so that ${what}`);
}
