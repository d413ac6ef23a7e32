import { Watch } from '@kubernetes/client-node';
import { pause, TimeoutError, type Wait } from '../wait.ts';
import type { KubernetesClient } from './client.ts';

/** Objects that can be listed and watched. */
export interface ObjectSource<T> {
  /** API path, such as `/api/v1/pods`. */
  readonly path: string;
  /** Query parameters of the watch, such as a field selector. @default none */
  readonly query?: Readonly<Record<string, string>>;
  /** Lists the current objects. */
  list(): Promise<{ items: T[]; metadata?: { resourceVersion?: string } }>;
  /** When to list again even without a change, epoch milliseconds. @default never */
  due?(objects: readonly T[]): number | undefined;
}

/** Milliseconds after which the objects are listed again in any case, as a watch can die silently. */
const relistAfterMs = 20_000;

/**
 * Lists the objects, and again after every change, until `done` returns a result other than undefined.
 *
 * @param what names the wait in the error.
 * @param pending what is still missing, for the error.
 * @throws TimeoutError at the deadline; the signal's reason when aborted; ApiError when listing is refused.
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

/** Resolves at the first event after `resourceVersion`, at the end of the watch, or when a list is due. */
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
  const ended = AbortSignal.any([wait.signal, settled.signal]);
  await pause(relistAfterMs, { deadline: wait.deadline, signal: ended }).catch(() => {});
  void watching.then((controller) => controller.abort()).catch(() => {});
  wait.signal.throwIfAborted();
  // A watch that cannot be opened must not become a busy loop.
  if (failed && Date.now() - opened < 500) await pause(500, wait);
}
