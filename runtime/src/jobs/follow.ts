import { createInterface } from 'node:readline';
import { PassThrough, type Readable } from 'node:stream';
import { Log, type V1Job, type V1Pod } from '@kubernetes/client-node';
import { isNotFound } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import { isFinished } from '../cluster/pods.ts';
import { waitForObjects } from '../cluster/watch.ts';
import { exitCodes, type Outcome, UpgradeError } from '../errors.ts';
import type { RunEvent } from '../report/events.ts';
import { pause, TimeoutError, type Wait } from '../wait.ts';
import {
  hasFailed,
  isActive,
  jobNumberOf,
  jobOf,
  listJobs,
  newestPod,
  oldestFirst,
  podsOfJob,
  runOf,
  unscheduledDue,
  unscheduledReason,
} from './job.ts';
import { isStranded, stranded } from './stranded.ts';
import { unscheduled } from './unscheduled.ts';

/** How a run is followed. */
export interface FollowOptions {
  /** Reads Jobs, pods and their logs. */
  readonly client: KubernetesClient;
  /** Namespace of the Jobs. */
  readonly namespace: string;
  /** How long a pod may wait for a node before it is reported, milliseconds. */
  readonly unschedulable: number;
  /** Deadline and signal; either ends the following, not the run. */
  readonly wait: Wait;
  /** Called with each line of the Jobs' logs, in order. */
  readonly onLine: (line: string) => void;
}

/**
 * Follows a run from one Job to the next until it ends. Only reads, so it may be started and stopped at any
 * time without an effect on the run.
 *
 * @returns how the run ended.
 * @throws BlockedError when a Job is not scheduled in time, with the scheduler's reason, or is stranded;
 *   UpgradeError (badInput) when a Job rejected its input; TimeoutError at the deadline.
 */
export async function followRun(options: FollowOptions, first: V1Job): Promise<Outcome> {
  let job: V1Job | undefined = first;
  let outcome: Outcome = 'failed';
  while (job !== undefined) {
    const current: V1Job = job;
    outcome = await followJob(options, current);
    if (outcome !== 'done') return outcome;
    const jobs = await listJobs(options.client, options.namespace, runOf(current));
    job = jobs.find((one) => jobNumberOf(one) > jobNumberOf(current));
  }
  return outcome;
}

/** Follows one Job through every pod that it starts. */
async function followJob(options: FollowOptions, job: V1Job): Promise<Outcome> {
  const name = job.metadata?.name ?? '';
  const followed = new Set<string>();
  let reported: Outcome | undefined;
  const onLine = (line: string) => {
    reported = outcomeIn(line) ?? reported;
    options.onLine(line);
  };
  for (;;) {
    const next = await nextPod(options, name, followed);
    // Done and held both exit with 0, so only the executor's last event distinguishes them (F15).
    if ('outcome' in next) return next.outcome === 'done' && reported === 'held' ? 'held' : next.outcome;
    followed.add(next.pod.metadata?.uid ?? '');
    reported = undefined;
    await followLog({ ...options, onLine }, next.pod, programOf(job));
  }
}

/** The outcome of the run if this log line is the event `run-ended`. */
function outcomeIn(line: string): Outcome | undefined {
  if (!line.includes('"run-ended"')) return undefined;
  try {
    const { event } = JSON.parse(line) as { event?: RunEvent };
    return event?.type === 'run-ended' ? event.outcome : undefined;
  } catch {
    return undefined;
  }
}

/** Waits for a started pod of the Job that was not followed yet, or for the end of the Job. */
async function nextPod(
  options: FollowOptions,
  name: string,
  followed: ReadonlySet<string>,
): Promise<{ pod: V1Pod } | { outcome: Outcome }> {
  const { client, namespace, wait } = options;
  const labelSelector = podsOfJob(name);
  const started = Date.now();
  // Between two pods of a Job there may be none for a moment. If the first one is missing for long, something
  // such as a quota prevents its creation.
  const dueOf = (pods: readonly V1Pod[]) =>
    pods.length === 0 && followed.size === 0
      ? started + options.unschedulable
      : unscheduledDue(newestPod(pods), options.unschedulable);
  const source = {
    path: `/api/v1/namespaces/${namespace}/pods`,
    query: { labelSelector },
    list: () =>
      client.call(`list the pods of ${name}`, () =>
        client.core.listNamespacedPod({ namespace, labelSelector }),
      ),
    due: dueOf,
  };
  for (;;) {
    const what = `waiting for ${name}`;
    const found = await waitForObjects(
      client,
      source,
      what,
      (pods) => inspect(options, name, pods, followed, dueOf(pods)),
      wait,
    );
    if (found !== 'later') return found;
    // The pods have ended, but the Job's controller has not updated its status yet.
    await pause(250, wait);
    assertInTime(wait, started, what);
  }
}

async function inspect(
  options: FollowOptions,
  name: string,
  pods: readonly V1Pod[],
  followed: ReadonlySet<string>,
  due: number | undefined,
) {
  const { client, namespace } = options;
  const fresh = oldestFirst(pods).find((pod) => !followed.has(pod.metadata?.uid ?? '') && hasStarted(pod));
  if (fresh) return { pod: fresh };
  const job = await client.call(`read Job ${name}`, () =>
    client.batch.readNamespacedJob({ name, namespace }),
  );
  if (!isActive(job)) return { outcome: outcomeOf(job, pods) };
  if (due !== undefined && Date.now() >= due) {
    // A person suspended the Job and has to resume it.
    if (job.spec?.suspend) return 'later';
    throw unscheduled(namespace, name, unscheduledReason(newestPod(pods)));
  }
  return pods.length > 0 && pods.every(isFinished) ? ('later' as const) : undefined;
}

const hasStarted = (pod: V1Pod) => isFinished(pod) || pod.status?.phase === 'Running';

/** The program's container, as the Job names it. A webhook may put a sidecar before it in a pod. */
const programOf = (job: V1Job): string | undefined => job.spec?.template.spec?.containers[0]?.name;

/**
 * The outcome of an ended Job, from its condition and the exit code of its newest pod.
 *
 * @throws UpgradeError (badInput) when the Job rejected its input.
 */
export function outcomeOf(job: V1Job, pods: readonly V1Pod[]): Outcome {
  const codes = oldestFirst(pods).map(({ status }) => {
    const statuses = status?.containerStatuses ?? [];
    const own = statuses.find(({ name }) => name === programOf(job)) ?? statuses[0];
    return own?.state?.terminated?.exitCode;
  });
  const last = codes.findLast((code) => code !== undefined);
  if (!hasFailed(job)) return 'done';
  if (last === exitCodes.badInput)
    throw new UpgradeError('badInput', `${job.metadata?.name} rejected its input; see its log`);
  return last === exitCodes.blocked ? 'blocked' : 'failed';
}

/**
 * Streams a pod's log to its end. After a lost connection it resumes with the first line not yet passed on.
 */
async function followLog(options: FollowOptions, pod: V1Pod, program: string | undefined): Promise<void> {
  const { client, namespace, wait } = options;
  const name = pod.metadata?.name ?? '';
  const container = program ?? pod.spec?.containers[0]?.name ?? '';
  const started = Date.now();
  for (let seen = 0; ; ) {
    const stream = new PassThrough();
    // When the connection is lost, the response body ends, but not the stream that it is piped into.
    stream.once('pipe', (body: Readable) =>
      body.once('error', (e) => stream.destroy(e)).once('close', () => stream.end()),
    );
    let index = 0;
    const reading = (async () => {
      for await (const line of createInterface({ input: stream })) {
        index += 1;
        if (index <= seen) continue;
        seen = index;
        options.onLine(line);
      }
    })();
    const streaming = new Log(client.kubeConfig).log(namespace, name, container, stream, { follow: true });
    const abort = () => {
      stream.destroy(new Error('aborted'));
      void streaming.then((request) => request.abort()).catch(() => {});
    };
    wait.signal.addEventListener('abort', abort, { once: true });
    // If aborted before the server has answered, the reader fails first.
    await Promise.all([streaming, reading]).catch(() => stream.destroy());
    wait.signal.removeEventListener('abort', abort);
    wait.signal.throwIfAborted();
    if (await isOver(client, namespace, pod)) return;
    await pause(500, wait);
    assertInTime(wait, started, `waiting for the end of ${name}`);
  }
}

/** Whether the pod has ended or is gone. @throws BlockedError when it is stranded and will never end. */
async function isOver(client: KubernetesClient, namespace: string, { metadata }: V1Pod): Promise<boolean> {
  const name = metadata?.name ?? '';
  try {
    const pod = await client.call(`read pod ${name}`, () =>
      client.core.readNamespacedPod({ name, namespace }),
    );
    if (isStranded(pod)) throw stranded(namespace, jobOf(pod), pod);
    return isFinished(pod);
  } catch (error) {
    if (isNotFound(error)) return true;
    throw error;
  }
}

/** @throws TimeoutError */
function assertInTime({ deadline }: Wait, started: number, what: string): void {
  const now = Date.now();
  if (now >= deadline) throw new TimeoutError(what, now - started);
}
