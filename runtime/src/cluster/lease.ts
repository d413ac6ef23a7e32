import { setTimeout as sleep } from 'node:timers/promises';
import { type V1Lease, V1MicroTime } from '@kubernetes/client-node';
import { BlockedError } from '../errors.ts';
import { ownLabels } from '../labels.ts';
import { objectNames } from '../names.ts';
import { pause, type Wait } from '../wait.ts';
import { isConflict, isNotFound } from './api-error.ts';
import type { KubernetesClient } from './client.ts';
import { isTrusted, LeaseObserver, type Moment, moment, never } from './lease-time.ts';

/**
 * Who holds a lease, written as `<runId>/<processName>`. Two processes of one run (a killed executor and its
 * replacement, or two Jobs) wait for each other; two runs do not.
 */
export interface Identity {
  /** The same for all Jobs of a run. */
  readonly runId: string;
  /** Unique in its run. */
  readonly processName: string;
}

/** The holder of a lease, as the lease names it. */
export interface Holder {
  /** `<runId>/<processName>`. */
  readonly identity: string;
  /** When it acquired the lease, RFC 3339. */
  readonly since: string;
  /** When the duration since its last renewal is over, RFC 3339: then another process may take over. */
  readonly expires: string;
  /** That time has passed, by this machine's clock. */
  readonly expired: boolean;
}

/** Another process holds the lease. */
export class LeaseHeldError extends BlockedError {
  /** The process that holds it. */
  readonly holder: Holder;

  constructor(what: string, holder: Holder) {
    const hints = ['Wait for it to end (k8s-upgrade status), or halt it (k8s-upgrade halt --reason …).'];
    if (!holder.expired) hints.push(`If its process has died, run again after ${holder.expires}.`);
    super(`${what}: ${holder.identity} holds the lease ${objectNames.lease} since ${holder.since}`, [], {
      hint: hints.join(' '),
    });
    this.name = 'LeaseHeldError';
    this.holder = holder;
  }
}

/** Reads who holds the lease; undefined when nobody does. An expired lease still names its last holder. */
export async function readHolder(client: KubernetesClient, namespace: string): Promise<Holder | undefined> {
  const lease = await readLease(client, namespace);
  return lease && holderOf(lease);
}

async function readLease(
  client: KubernetesClient,
  namespace: string,
  signal?: AbortSignal,
): Promise<V1Lease | undefined> {
  const read = () => client.coordination.readNamespacedLease({ name: objectNames.lease, namespace });
  try {
    return await client.call(`read lease ${objectNames.lease}`, read, signal);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** The client declares these times as dates but passes them as text. */
const timeOfMicro = (time: Date | string | undefined): number =>
  time === undefined ? 0 : new Date(time).getTime();

function holderOf(lease: V1Lease): Holder | undefined {
  const identity = lease.spec?.holderIdentity;
  if (!identity) return undefined;
  const expires = timeOfMicro(lease.spec?.renewTime) + (lease.spec?.leaseDurationSeconds ?? 0) * 1000;
  const since = new Date(timeOfMicro(lease.spec?.acquireTime)).toISOString();
  return { identity, since, expires: new Date(expires).toISOString(), expired: expires <= Date.now() };
}

/** Only a process of the same run is waited for while it is alive. */
function describeWait({ spec }: V1Lease, { identity }: Holder, sameRun: boolean, wait: Wait): string {
  const over = new Date(Date.now() + (spec?.leaseDurationSeconds ?? 0) * 1000).toISOString();
  const alive = sameRun ? `, at most until ${new Date(wait.deadline).toISOString()} if not` : '';
  return `waiting for ${identity}, which holds the lease ${objectNames.lease}: until ${over} if it has died${alive}`;
}

/**
 * The Lease that lets one executor write at a time. Renewed every third of its duration. When a renewal is
 * overdue (the API server was away, or the process was stopped), {@link assertHeld} renews before the next
 * write or throws if another process has taken over.
 */
export class Lease {
  readonly #client: KubernetesClient;
  readonly #namespace: string;
  readonly #identity: string;
  /** Milliseconds; whole seconds, at least one. */
  readonly #duration: number;
  #renewed: Moment = never;
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> | undefined;
  readonly #end = new AbortController();
  /** Ends the retries of every request. */
  readonly #signal: AbortSignal;

  constructor(client: KubernetesClient, namespace: string, identity: Identity, durationMs: number) {
    this.#client = client;
    this.#signal = AbortSignal.any([client.options.signal, this.#end.signal]);
    this.#namespace = namespace;
    this.#identity = `${identity.runId}/${identity.processName}`;
    this.#duration = Math.max(1, Math.round(durationMs / 1000)) * 1000;
  }

  /**
   * Acquires the lease. Waits for another process of the same run to release it or to expire. Takes over an
   * expired lease of another run once it has been unchanged for its duration.
   *
   * @param onWait called once if it has to wait, with who holds the lease and until when.
   * @returns whether an earlier process of the same run had not released it: that process was killed.
   * @throws LeaseHeldError when another run holds it, or the same run still does at the deadline.
   */
  async acquire(wait: Wait, onWait?: (notice: string) => void): Promise<boolean> {
    const observer = new LeaseObserver();
    let sameRun = false;
    let report = onWait;
    for (;;) {
      const lease = await this.#read();
      const holder = lease && holderOf(lease);
      const isOther = lease !== undefined && holder !== undefined && holder.identity !== this.#identity;
      sameRun = isOther && holder.identity.split('/')[0] === this.#identity.split('/')[0];
      if (isOther && !observer.isOver(lease, sameRun && holder.expired)) {
        const isAlive = !holder.expired || observer.changed;
        if ((isAlive && !sameRun) || Date.now() >= wait.deadline)
          throw new LeaseHeldError('cannot start', holder);
        report?.(describeWait(lease, holder, sameRun, wait));
        report = undefined;
        await pause(Math.min(500, this.#duration / 4), wait);
        continue;
      }
      if (await this.#tryHold(lease)) break;
    }
    this.#timer = setInterval(() => void this.#renewOnce().catch(() => {}), this.#duration / 3);
    this.#timer.unref();
    return sameRun;
  }

  /**
   * Call it before every write. Renews the lease if the last renewal is too old.
   *
   * @throws LeaseHeldError when another process has taken over: this one must not write any more.
   */
  async assertHeld(): Promise<void> {
    if (isTrusted(this.#renewed, this.#duration)) return;
    await this.#renewOnce();
  }

  /**
   * Whether another process is known to have taken over. Unlike {@link assertHeld} it waits at most 5 s for
   * the API server: a failure must be reported even while that is away.
   */
  async isLost(): Promise<boolean> {
    if (isTrusted(this.#renewed, this.#duration)) return false;
    const renewed = this.#renewOnce().then(
      () => false,
      (error) => error instanceof LeaseHeldError,
    );
    return Promise.race([renewed, sleep(5_000, false, { ref: false })]);
  }

  /**
   * Releases the lease, so that the next Job need not wait. Does nothing if it is not held. Tries for as long
   * as the lease lasts, at most 5 s: without the API server it expires by itself. Not to be used afterwards.
   */
  async release(): Promise<void> {
    clearInterval(this.#timer);
    const giveUp = () => this.#end.abort(new Error('the lease was not released in time'));
    const limit = setTimeout(giveUp, Math.min(5_000, this.#duration));
    await this.#release();
    clearTimeout(limit);
  }

  async #release(): Promise<void> {
    await this.#renewing?.catch(() => {});
    if (this.#renewed === never) return;
    this.#renewed = never;
    const lease = await this.#read().catch(() => undefined);
    if (lease === undefined || holderOf(lease)?.identity !== this.#identity) return;
    lease.spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 };
    // Replaces only what was read, so a process that took over in between keeps the lease.
    await this.#replace(lease).catch(() => {});
  }

  #renewOnce(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    for (;;) {
      const lease = await this.#read();
      const holder = lease && holderOf(lease);
      if (holder?.identity !== this.#identity) {
        clearInterval(this.#timer);
        // Even if the last renewal has time left: another process writes now.
        this.#renewed = never;
        const unknown = { identity: 'nobody', since: 'an unknown time', expires: '', expired: true };
        throw new LeaseHeldError('stopped before the next write', holder ?? unknown);
      }
      if (await this.#tryHold(lease)) return;
    }
  }

  /** Tries once to write this process as the holder; false when another process wrote first. */
  async #tryHold(current: V1Lease | undefined): Promise<boolean> {
    const sent = moment();
    const ours = current !== undefined && holderOf(current)?.identity === this.#identity;
    const time = new V1MicroTime();
    const spec = {
      holderIdentity: this.#identity,
      leaseDurationSeconds: this.#duration / 1000,
      acquireTime: ours ? current.spec?.acquireTime : time,
      renewTime: time,
      leaseTransitions: (current?.spec?.leaseTransitions ?? 0) + (ours ? 0 : 1),
    };
    const found = current?.metadata ?? { name: objectNames.lease, namespace: this.#namespace };
    const metadata = { ...found, labels: { ...found.labels, ...ownLabels } };
    const lease: V1Lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
    try {
      await (current === undefined ? this.#create(lease) : this.#replace(lease));
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return false;
      throw error;
    }
    this.#renewed = sent;
    return true;
  }

  #read(): Promise<V1Lease | undefined> {
    return readLease(this.#client, this.#namespace, this.#signal);
  }

  #create(body: V1Lease): Promise<V1Lease> {
    const request = { namespace: this.#namespace, body };
    const create = () => this.#client.coordination.createNamespacedLease(request);
    return this.#client.call('create the lease', create, this.#signal);
  }

  #replace(body: V1Lease): Promise<V1Lease> {
    const request = { name: objectNames.lease, namespace: this.#namespace, body };
    const replace = () => this.#client.coordination.replaceNamespacedLease(request);
    return this.#client.call('renew the lease', replace, this.#signal);
  }
}
