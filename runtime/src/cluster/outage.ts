import { formatDuration } from '../duration.ts';

/** One request to the API server, through all its attempts. */
export interface TrackedRequest {
  /** An attempt failed and will be repeated. @param patience how long it is repeated, milliseconds. */
  failed(error: Error, patience: number): void;
  /** There will be no other attempt. @param answered whether the API server answered the last one. */
  ended(answered: boolean): void;
}

/**
 * Reports an outage of the API server twice: when a first request has to be repeated, and when the server
 * answers again. As long as another request is repeated, an answer does not end the outage: the server may be
 * refusing only that one, and would otherwise come and go with every attempt.
 */
export class Outage {
  readonly #onNotice: (notice: string) => void;
  /** Milliseconds since the epoch; undefined when there is no outage. */
  #since: number | undefined;
  readonly #repeated = new Set<TrackedRequest>();

  constructor(onNotice: (notice: string) => void) {
    this.#onNotice = onNotice;
  }

  /** Tracks the next request. */
  track(): TrackedRequest {
    const request = {
      failed: (error: Error, patience: number) => {
        this.#repeated.add(request);
        if (this.#since !== undefined) return;
        this.#since = Date.now();
        this.#onNotice(`${error.message}; trying again for up to ${formatDuration(patience)}`);
      },
      ended: (answered: boolean) => {
        this.#repeated.delete(request);
        if (!answered || this.#since === undefined || this.#repeated.size > 0) return;
        const away = formatDuration(Date.now() - this.#since);
        this.#since = undefined;
        this.#onNotice(`the API server answers again, after ${away}`);
      },
    };
    return request;
  }
}
