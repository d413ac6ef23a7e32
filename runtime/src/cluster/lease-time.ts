import type { V1Lease } from '@kubernetes/client-node';

/** By both clocks of this machine: one stands still while a laptop sleeps, the other one may be set back. */
export interface Moment {
  /** Milliseconds. */
  readonly monotonic: number;
  /** Epoch milliseconds. */
  readonly wall: number;
}

export const never: Moment = { monotonic: Number.NEGATIVE_INFINITY, wall: Number.NEGATIVE_INFINITY };

export const moment = (): Moment => ({ monotonic: performance.now(), wall: Date.now() });

/** How much of its duration a renewal counts for its holder. The rest is for writes on their way, and for clocks that run unequally. */
const trustedPart = 2 / 3;

/** @param renewed when the last renewal was sent. @param duration of the lease, milliseconds. */
export function isTrusted(renewed: Moment, duration: number): boolean {
  const { monotonic, wall } = moment();
  return Math.max(monotonic - renewed.monotonic, wall - renewed.wall) < duration * trustedPart;
}

/**
 * Watches a lease that somebody else holds. The clocks of two machines differ, so a holder is gone once its lease has stood
 * unchanged for all of its duration before this process's eyes.
 */
export class LeaseObserver {
  #version: string | undefined;
  #since = 0;
  #changed = false;

  /** The lease was seen to change: its holder lives, whatever the clocks say. */
  get changed(): boolean {
    return this.#changed;
  }

  /**
   * @param isSuccessor this process was started because the holder had ended, and the holder's time is over by its own clock:
   *   then it is enough that it is not seen to renew.
   */
  isOver({ metadata, spec }: V1Lease, isSuccessor: boolean): boolean {
    const duration = (spec?.leaseDurationSeconds ?? 0) * 1000;
    return this.#stoodFor(metadata?.resourceVersion) >= (isSuccessor ? duration / 2 : duration);
  }

  #stoodFor(version: string | undefined): number {
    if (version !== this.#version) {
      this.#changed = this.#version !== undefined;
      this.#version = version;
      this.#since = performance.now();
    }
    return performance.now() - this.#since;
  }
}
