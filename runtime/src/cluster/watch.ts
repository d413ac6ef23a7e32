import { Watch } from '@kubernetes/client-node';
import { pause, TimeoutError, type Wait } from '../wait.ts';
import type { KubernetesClient } from './client.ts';

/** Something that can be listed and watched. */
export interface ObjectSource<T> {
  /** API path, such as `/api/v1/pods`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  list(): Promise<{ items: T[]; metadata?: { resourceVersion?: string } }>;
  /** When the same objects mean something else, and are to be listed again without any change. Epoch milliseconds. */
  due?(objects: readonly T[]): number | undefined;
}

/** A watch can die without a word; a fresh list is never further away than this. */
const relistAfterMs = 20_000;

/**
 * Lists, then lists again after every change, until `done` returns something.
 *
 * @param pending what is still missing, for the error.
 * @throws TimeoutError at the deadline; the signal's reason when called off; ApiError when listing is refused.
 */
export async function waitForObjects<T, R>(
  client: KubernetesClient,
  source: ObjectSource<T>,
  what: string,
  done: (objects: readonly T[]) => R | undefined | Promise<R | undefined>,
  wait: Wait,
  pending: (objects: readonly T[]) => string[] = () => [],
): Promise<R> {
  const started = Date.now();
  for (;;) {
    const { items, metadata } = await source.list();
    const result = await done(items);
    if (result !== undefined) return result;
    if (Date.now() >= wait.deadline) throw new TimeoutError(what, Date.now() - started, pending(items));
    const due = source.due?.(items) ?? Number.POSITIVE_INFINITY;
    await nextChange(client, source, metadata?.resourceVersion, {
      deadline: Math.min(wait.deadline, due),
      signal: wait.signal,
    });
  }
}

/** Resolves at the first event after `resourceVersion`, when the watch ends, or when it is time to list again. */
async function nextChange<T>(
  client: KubernetesClient,
  source: ObjectSource<T>,
  resourceVersion: string | undefined,
  wait: Wait,
): Promise<void> {
  const settled = new AbortController();
  const opened = Date.now();
  let failed = false;
  const query = {
    ...source.query,
    ...(resourceVersion && { resourceVersion }),
    timeoutSeconds: relistAfterMs / 1000,
  };
  const watching = new Watch(client.kubeConfig).watch(
    source.path,
    query,
    (type: string) => {
      failed ||= type === 'ERROR';
      settled.abort();
    },
    (error: unknown) => {
      failed ||= error !== null && error !== undefined;
      settled.abort();
    },
  );
  const calledOff = AbortSignal.any([wait.signal, settled.signal]);
  await pause(relistAfterMs, { deadline: wait.deadline, signal: calledOff }).catch(() => {});
  void watching.then((controller) => controller.abort()).catch(() => {});
  wait.signal.throwIfAborted();
  // A watch that cannot be opened must not become a busy loop.
  if (failed && Date.now() - opened < 500) await pause(500, wait);
}
