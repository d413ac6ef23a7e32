/**
 * Waits for what is to happen in the course of a run. A run that ends before would be waited on for ever: it throws, with
 * what the run said.
 *
 * @param running resolves with how the run ended, in an object of any form.
 */
export function during<T>(running: Promise<object>, awaited: Promise<T>): Promise<T> {
  const endedBefore = running.then((end) => {
    throw new Error(`the run ended before it came to that: ${Object.values(end).join('\n')}`);
  });
  return Promise.race([awaited, endedBefore]);
}
