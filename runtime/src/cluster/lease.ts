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
 * Who writes: `<run>/<process>`. Two processes of one run (a killed executor and the one that its Job starts next, or
 * two Jobs) wait for each other; two runs do not.
 */
export interface Identity {
  readonly runId: string;
  readonly processName: string;
}

/** What a lease says about its holder. */
export interface Holder {
  readonly identity: string;
  /** RFC 3339. */
  readonly since: string;
  readonly expired: boolean;
}

/** Somebody else holds the lease. */
export class LeaseHeldError extends BlockedError {
  readonly holder: Holder;

  constructor(what: string, holder: Holder) {
    super(`${what}: ${holder.identity} holds the lease ${objectNames.lease} since ${holder.since}`, [], {
      hint: 'Wait for it to end (k8s-upgrade status), or halt it (k8s-upgrade halt --reason …).',
    });
    this.name = 'LeaseHeldError';
    this.holder = holder;
  }
}

/** Reads who holds the lease; undefined when nobody does. An expired one still names its last holder. */
export async function readHolder(client: KubernetesClient, namespace: string): Promise<Holder | undefined> {
  const lease = await readLease(client, namespace);
  return lease && holderOf(lease);
}

async function readLease(client: KubernetesClient, namespace: string): Promise<V1Lease | undefined> {
  try {
    return await client.call(`read lease ${objectNames.lease}`, () =>
      client.coordination.readNamespacedLease({ name: objectNames.lease, namespace }),
    );
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** The client declares these as dates and hands them over as the text that came. */
const timeOfMicro = (time: Date | string | undefined): number =>
  time === undefined ? 0 : new Date(time).getTime();

function holderOf(lease: V1Lease): Holder | undefined {
  const identity = lease.spec?.holderIdentity;
  if (!identity) return undefined;
  const expires = timeOfMicro(lease.spec?.renewTime) + (lease.spec?.leaseDurationSeconds ?? 0) * 1000;
  const since = new Date(timeOfMicro(lease.spec?.acquireTime)).toISOString();
  return { identity, since, expired: expires <= Date.now() };
}

/**
 * The Lease that lets one executor write at a time. Renewed every third of its duration. When a renewal is overdue
 * (the API server was away, or the process was stopped), {@link assertHeld} renews before the next write
 * or finds that somebody else has taken over.
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

  constructor(client: KubernetesClient, namespace: string, identity: Identity, durationMs: number) {
    this.#client = client;
    this.#namespace = namespace;
    this.#identity = `${identity.runId}/${identity.processName}`;
    this.#duration = Math.max(1, Math.round(durationMs / 1000)) * 1000;
  }

  /**
   * Takes the lease. Waits for a process of the same run to let go or expire. What another run has let expire is taken over once it
   * has stood still for its duration.
   *
   * @returns whether an earlier process of the same run had not let go of it: that one was interrupted.
   * @throws LeaseHeldError when another run holds it, or the same run still does at the deadline.
   */
  async acquire(wait: Wait): Promise<boolean> {
    const observer = new LeaseObserver();
    let sameRun = false;
    for (;;) {
      const lease = await readLease(this.#client, this.#namespace);
      const holder = lease && holderOf(lease);
      const isOther = lease !== undefined && holder !== undefined && holder.identity !== this.#identity;
      sameRun = isOther && holder.identity.split('/')[0] === this.#identity.split('/')[0];
      if (isOther && !observer.isOver(lease, sameRun && holder.expired)) {
        const lives = !holder.expired || observer.changed;
        if ((lives && !sameRun) || Date.now() >= wait.deadline)
          throw new LeaseHeldError('cannot start', holder);
        await pause(Math.min(500, this.#duration / 4), wait);
        continue;
      }
      if (await this.#take(lease)) break;
    }
    this.#timer = setInterval(() => void this.#renewOnce().catch(() => {}), this.#duration / 3);
    this.#timer.unref();
    return sameRun;
  }

  /**
   * Called before every write.
   *
   * @throws LeaseHeldError when somebody else has taken over: nothing more may be written.
   */
  async assertHeld(): Promise<void> {
    if (isTrusted(this.#renewed, this.#duration)) return;
    await this.#renewOnce();
  }

  /**
   * Whether somebody else is known to have taken over. Unlike {@link assertHeld} it does not wait for an API server that is
   * away: a failure is to be told then above all.
   */
  async isLost(): Promise<boolean> {
    if (isTrusted(this.#renewed, this.#duration)) return false;
    const renewed = this.#renewOnce().then(
      () => false,
      (error) => error instanceof LeaseHeldError,
    );
    return Promise.race([renewed, sleep(5_000, false, { ref: false })]);
  }

  /** Lets go, so that the next Job need not wait. Called twice or without the lease, it does nothing. */
  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing?.catch(() => {});
    if (this.#renewed === never) return;
    this.#renewed = never;
    const lease = await readLease(this.#client, this.#namespace).catch(() => undefined);
    if (lease === undefined || holderOf(lease)?.identity !== this.#identity) return;
    lease.spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 };
    // Over what was read: whoever has taken over in between keeps it.
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
      const lease = await readLease(this.#client, this.#namespace);
      const holder = lease && holderOf(lease);
      if (holder?.identity !== this.#identity) {
        clearInterval(this.#timer);
        // Whatever time the last renewal had left: somebody else writes now.
        this.#renewed = never;
        const unknown = { identity: 'nobody', since: 'an unknown time', expired: true };
        throw new LeaseHeldError('stopped before the next write', holder ?? unknown);
      }
      if (await this.#take(lease)) return;
    }
  }

  /** One attempt to write ourselves as the holder; false when somebody else wrote first. */
  async #take(current: V1Lease | undefined): Promise<boolean> {
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

  #create(body: V1Lease): Promise<V1Lease> {
    const namespace = this.#namespace;
    return this.#client.call('create the lease', () =>
      this.#client.coordination.createNamespacedLease({ namespace, body }),
    );
  }

  #replace(body: V1Lease): Promise<V1Lease> {
    const request = { name: objectNames.lease, namespace: this.#namespace, body };
    return this.#client.call('renew the lease', () =>
      this.#client.coordination.replaceNamespacedLease(request),
    );
  }
}
