import type { V1Lease } from '@kubernetes/client-node';

/** A time by both clocks: the monotonic one stops while a laptop sleeps, the wall clock may be set back. */
export interface Moment {
  /** `performance.now()`, milliseconds. */
  readonly monotonic: number;
  /** Epoch milliseconds. */
  readonly wall: number;
}

/** Before every other moment. */
export const never: Moment = { monotonic: Number.NEGATIVE_INFINITY, wall: Number.NEGATIVE_INFINITY };

/** The current time. */
export const moment = (): Moment => ({ monotonic: performance.now(), wall: Date.now() });

/**
 * For what part of the lease's duration the holder trusts a renewal. The rest allows for writes in flight and
 * for clocks that run at different speeds.
 */
const trustedPart = 2 / 3;

/**
 * Whether the holder may still write without renewing first.
 *
 * @param renewed when the last renewal was sent.
 * @param duration of the lease, milliseconds.
 */
export function isTrusted(renewed: Moment, duration: number): boolean {
  const { monotonic, wall } = moment();
  return Math.max(monotonic - renewed.monotonic, wall - renewed.wall) < duration * trustedPart;
}

/**
 * Observes a lease that another process holds. The clocks of two machines differ, so a holder counts as gone
 * only after this process has seen its lease unchanged for the whole duration.
 */
export class LeaseObserver {
  #version: string | undefined;
  #since = 0;
  #changed = false;

  /** The lease changed while it was observed: its holder is alive, whatever the clocks show. */
  get changed(): boolean {
    return this.#changed;
  }

  /**
   * Whether the holder is gone. Call it with every reading of the lease.
   *
   * @param isSuccessor this process was started because the holder ended, and the lease has expired by the
   *   holder's clock: then half the duration without a renewal is enough.
   */
  isOver({ metadata, spec }: V1Lease, isSuccessor: boolean): boolean {
    const duration = (spec?.leaseDurationSeconds ?? 0) * 1000;
    return this.#unchangedFor(metadata?.resourceVersion) >= (isSuccessor ? duration / 2 : duration);
  }

  #unchangedFor(version: string | undefined): number {
    if (version !== this.#version) {
      this.#changed = this.#version !== undefined;
      this.#version = version;
      this.#since = performance.now();
    }
    return performance.now() - this.#since;
  }
}
