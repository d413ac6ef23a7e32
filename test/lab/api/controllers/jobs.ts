import { resourceNamed } from '../resources.ts';
import { type Change, now } from '../store.ts';
import type { Job, Pod } from '../types.ts';
import { failurePolicyVerdict } from './job-failure-policy.ts';
import { controllerOf, type Kit, withCondition } from './kit.ts';
import { createPod, deletePod, isActive, isFinished, isReady, podsOf } from './pods.ts';

interface Memory {
  /** Uids of the finished pods that are in the Job's counters. */
  readonly counted: Set<string>;
  /** When a pod of the Job last failed, in ms since the epoch. */
  lastFailure: number;
  /** Consecutive failures. */
  failures: number;
  deadline?: () => void;
}

interface Ending {
  readonly type: 'Complete' | 'Failed';
  readonly reason: string;
  readonly message: string;
}

/** Whether the Job has the condition with status True. */
export const jobCondition = (job: Job, type: string): boolean =>
  job.status?.conditions?.some((c) => c.type === type && c.status === 'True') === true;

const jobFinished = (job: Job): boolean => jobCondition(job, 'Complete') || jobCondition(job, 'Failed');

/** The Job controller: pods, counters, failure policy, back-off, deadline, clean-up. */
export class JobController {
  readonly #kit: Kit;
  readonly #memory = new Map<string, Memory>();
  readonly #enqueue: (key: string, delay?: number) => void;

  constructor(kit: Kit) {
    this.#kit = kit;
    this.#enqueue = kit.queue((key) => this.#reconcile(key));
  }

  /** Starts the controller. Returns a function that stops it. */
  start(): () => void {
    return this.#kit.store.subscribe((change) => this.#kit.guard(() => this.#changed(change)));
  }

  #changed({ resource, object, type }: Change): void {
    const { namespace, name, uid } = object.metadata;
    if (resource === 'jobs') {
      if (type !== 'DELETED') this.#enqueue(`${namespace}/${name}`);
      else this.#forget(uid);
    }
    if (resource !== 'pods') return;
    const owner = controllerOf(object);
    if (owner?.kind !== 'Job') return;
    const job = this.#kit.store.get('jobs', namespace, owner.name);
    if (job?.metadata.uid !== owner.uid) return;
    const pod = object as Pod;
    if (isFinished(pod) || type === 'DELETED') this.#count(job, pod);
    this.#enqueue(`${namespace}/${owner.name}`);
  }

  #remember(job: Job): Memory {
    const known = this.#memory.get(job.metadata.uid);
    if (known !== undefined) return known;
    const memory: Memory = { counted: new Set(), lastFailure: 0, failures: 0 };
    this.#memory.set(job.metadata.uid, memory);
    return memory;
  }

  #forget(uid: string): void {
    this.#memory.get(uid)?.deadline?.();
    this.#memory.delete(uid);
  }

  /** Counts a finished pod; does nothing when it has been counted already. */
  #count(job: Job, pod: Pod): void {
    const memory = this.#remember(job);
    if (memory.counted.has(pod.metadata.uid)) return;
    memory.counted.add(pod.metadata.uid);
    if (pod.status?.phase === 'Succeeded') {
      memory.failures = 0;
      this.#status(job, (s) => ({ ...s, succeeded: (s.succeeded ?? 0) + 1 }));
      return;
    }
    if (jobFinished(job) || jobCondition(job, 'FailureTarget') || job.spec?.suspend === true) return;
    const verdict = failurePolicyVerdict(job.spec?.podFailurePolicy, pod);
    if (verdict.action === 'Ignore') return;
    memory.failures += 1;
    memory.lastFailure = Date.now();
    this.#status(job, (s) => ({ ...s, failed: (s.failed ?? 0) + 1 }));
    if (verdict.action === 'FailJob') {
      this.#end(job, { type: 'Failed', reason: 'PodFailurePolicy', message: verdict.message });
    }
  }

  #reconcile(key: string): void {
    const [namespace, name = ''] = key.split('/');
    const job = this.#kit.store.get('jobs', namespace, name);
    if (job === undefined || job.metadata.deletionTimestamp !== undefined) return;
    if (jobFinished(job)) {
      this.#cleanUp(job);
      return;
    }
    if (this.#stopping(job)) {
      this.#finishStopping(job);
      return;
    }
    if (job.spec?.suspend === true) {
      this.#suspend(job);
      return;
    }
    this.#activate(job);
    const ending = this.#ending(job);
    if (ending !== undefined) {
      this.#end(job, ending);
      return;
    }
    this.#createMissing(job);
    this.#refresh(job);
  }

  #activate(job: Job): void {
    if (jobCondition(job, 'Suspended')) {
      this.#condition(job, {
        type: 'Suspended',
        status: 'False',
        reason: 'JobResumed',
        message: 'Job resumed',
      });
    }
    const memory = this.#remember(job);
    if (job.status?.startTime === undefined) this.#status(job, (s) => ({ ...s, startTime: now() }));
    const seconds = job.spec?.activeDeadlineSeconds;
    if (seconds === undefined || memory.deadline !== undefined) return;
    memory.deadline = this.#kit.deadline(seconds * 1000, () => {
      const current = this.#kit.store.get('jobs', job.metadata.namespace, job.metadata.name);
      if (current === undefined || jobFinished(current)) return;
      const message = 'Job was active longer than specified deadline';
      this.#end(current, { type: 'Failed', reason: 'DeadlineExceeded', message });
    });
  }

  #ending(job: Job): Ending | undefined {
    const { succeeded = 0, failed = 0 } = job.status ?? {};
    const restarts = podsOf(this.#kit.registry, job)
      .flatMap((p) => p.status?.containerStatuses ?? [])
      .reduce((sum, c) => sum + c.restartCount, 0);
    if (succeeded >= (job.spec?.completions ?? 1)) {
      return {
        type: 'Complete',
        reason: 'CompletionsReached',
        message: 'Reached expected number of succeeded pods',
      };
    }
    const limit = job.spec?.backoffLimit ?? 6;
    const overRestarted = restarts > 0 && restarts >= limit;
    if (failed <= limit && !overRestarted) return undefined;
    return {
      type: 'Failed',
      reason: 'BackoffLimitExceeded',
      message: 'Job has reached the specified backoff limit',
    };
  }

  /** Sets the interim condition, deletes the active pods, and sets the final condition once they are gone. */
  #end(job: Job, ending: Ending): void {
    const interim = ending.type === 'Complete' ? 'SuccessCriteriaMet' : 'FailureTarget';
    const { reason, message } = ending;
    this.#condition(job, { type: interim, status: 'True', reason, message });
    for (const pod of podsOf(this.#kit.registry, job).filter(isActive)) deletePod(this.#kit.registry, pod);
    const current = this.#kit.store.get('jobs', job.metadata.namespace, job.metadata.name);
    if (current !== undefined) this.#finishStopping(current);
  }

  #stopping(job: Job): boolean {
    return jobCondition(job, 'FailureTarget') || jobCondition(job, 'SuccessCriteriaMet');
  }

  #finishStopping(job: Job): void {
    const left = podsOf(this.#kit.registry, job).filter((p) => !isFinished(p));
    this.#refresh(job);
    if (left.length > 0 || jobFinished(job)) return;
    const interim = job.status?.conditions?.find(
      (c) => (c.type === 'FailureTarget' || c.type === 'SuccessCriteriaMet') && c.status === 'True',
    );
    if (interim === undefined) return;
    const complete = interim.type === 'SuccessCriteriaMet';
    this.#status(job, (s) => ({ ...s, ...(complete ? { completionTime: now() } : {}) }));
    const { reason = '', message = '' } = interim;
    this.#condition(job, { type: complete ? 'Complete' : 'Failed', status: 'True', reason, message });
    this.#remember(job).deadline?.();
    this.#kit.event(job, {
      type: complete ? 'Normal' : 'Warning',
      reason: complete ? 'Completed' : reason,
      message: complete ? 'Job completed' : message,
      component: 'job-controller',
    });
  }

  #suspend(job: Job): void {
    for (const pod of podsOf(this.#kit.registry, job).filter(isActive)) deletePod(this.#kit.registry, pod);
    this.#condition(job, {
      type: 'Suspended',
      status: 'True',
      reason: 'JobSuspended',
      message: 'Job suspended',
    });
    this.#status(job, ({ startTime: _, ...rest }) => rest);
    this.#refresh(job);
  }

  #createMissing(job: Job): void {
    const { registry, timings } = this.#kit;
    const memory = this.#remember(job);
    const unfinished = podsOf(registry, job).filter((p) => !isFinished(p));
    const waitsForEnd = job.spec?.podReplacementPolicy === 'Failed';
    const active = waitsForEnd ? unfinished : unfinished.filter(isActive);
    const left = (job.spec?.completions ?? 1) - (job.status?.succeeded ?? 0);
    const missing = Math.min(job.spec?.parallelism ?? 1, left) - active.length;
    if (missing <= 0 || job.spec?.template === undefined) return;
    const backoff = Math.min(timings.jobBackoff * 2 ** (memory.failures - 1), timings.jobBackoffMax);
    const wait = memory.failures === 0 ? 0 : memory.lastFailure + backoff - Date.now();
    if (wait > 0) {
      this.#enqueue(`${job.metadata.namespace}/${job.metadata.name}`, wait);
      return;
    }
    for (let i = 0; i < missing; i += 1) {
      const pod = createPod(registry, job, job.spec.template);
      const message = `Created pod: ${pod.metadata.name}`;
      this.#kit.event(job, { reason: 'SuccessfulCreate', message, component: 'job-controller' });
    }
  }

  #cleanUp(job: Job): void {
    this.#refresh(job);
    const seconds = job.spec?.ttlSecondsAfterFinished;
    const memory = this.#remember(job);
    if (seconds === undefined || memory.counted.has('ttl')) return;
    memory.counted.add('ttl');
    const { namespace, name, uid } = job.metadata;
    this.#kit.deadline(seconds * 1000, () => {
      const options = { propagationPolicy: 'Background', preconditions: { uid } };
      this.#kit.registry.delete(resourceNamed('jobs'), namespace, name, options);
    });
  }

  /** Recomputes `active`, `ready` and `terminating` from the existing pods. */
  #refresh(job: Job): void {
    const unfinished = podsOf(this.#kit.registry, job).filter((p) => !isFinished(p));
    const active = unfinished.filter(isActive);
    this.#status(job, ({ active: _, ...rest }) => ({
      ...rest,
      ...(active.length > 0 ? { active: active.length } : {}),
      ready: active.filter(isReady).length,
      terminating: unfinished.length - active.length,
      uncountedTerminatedPods: {},
    }));
  }

  #condition(job: Job, condition: { type: string; status: string; reason: string; message: string }): void {
    const lastProbeTime = now();
    this.#status(job, (s) => ({
      ...s,
      conditions: withCondition(s.conditions as never, { ...condition, lastProbeTime }) as never,
    }));
  }

  #status(job: Job, change: (status: NonNullable<Job['status']>) => NonNullable<Job['status']>): void {
    this.#kit.store.modify('jobs', job.metadata.namespace, job.metadata.name, (j) => {
      if (j.metadata.uid === job.metadata.uid) j.status = change(j.status ?? {});
    });
  }
}
