import { type KubernetesObject, Watch } from '@kubernetes/client-node';
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
  /**
   * What counts of an object: a change that leaves this equal is ignored, without a request. @default
   * everything
   */
  digest?(object: T): string;
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
export async function waitForObjects<T extends KubernetesObject, R>(
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
    const known = { items, resourceVersion: metadata?.resourceVersion };
    const until = { deadline: Math.min(wait.deadline, due), signal: wait.signal };
    await nextChange(client, source, known, until);
  }
}

/** Resolves at the first event after `known` that counts, at the end of the watch, or when a list is due. */
async function nextChange<T extends KubernetesObject>(
  client: KubernetesClient,
  source: ObjectSource<T>,
  known: { readonly items: readonly T[]; readonly resourceVersion: string | undefined },
  wait: Wait,
): Promise<void> {
  const { resourceVersion } = known;
  const counts = filterOf(source, known.items);
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
    (type: string, object: T) => {
      if (!counts(type, object)) return;
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

/** Whether an event counts. Without a digest every one does. */
function filterOf<T extends KubernetesObject>(
  { digest }: ObjectSource<T>,
  items: readonly T[],
): (type: string, object: T) => boolean {
  if (digest === undefined) return () => true;
  const known = new Map(items.map((item) => [item.metadata?.uid, digest(item)]));
  return (type, object) => type !== 'MODIFIED' || known.get(object.metadata?.uid) !== digest(object);
}
