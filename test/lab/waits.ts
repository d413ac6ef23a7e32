import { setTimeout as sleep } from 'node:timers/promises';

/** No run in a lab, and no step of one, takes longer: it then hangs. Milliseconds. */
const longest = 120_000;

/**
 * Waits for something that happens during a run.
 *
 * @param running resolves when the run ends, with an object of any form, whose values the error quotes.
 * @throws Error when the run ends first.
 */
export function during<T>(running: Promise<object>, awaited: Promise<T>): Promise<T> {
  const endedBefore = running.then((end) => {
    throw new Error(`the run ended too early: ${Object.values(end).join('\n')}`);
  });
  return Promise.race([awaited, endedBefore]);
}

/** Waits at most 120 s. @throws Error after that time. */
export function limited<T>(what: string, awaited: Promise<T>): Promise<T> {
  const over = sleep(longest, undefined, { ref: false }).then(() => {
    throw new Error(`${what}: no end after ${longest / 1000} s`);
  });
  return Promise.race([awaited, over]);
}

/** Checks every 50 ms until the condition is true. @throws Error after 120 s. */
export async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + longest; !(await isTrue()); await sleep(50))
    if (Date.now() > deadline) throw new Error(`${what}: still not true after ${longest / 1000} s`);
}
