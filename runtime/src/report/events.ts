import type { Outcome } from '../errors.ts';
import type { Release, UpgradeKind } from '../release.ts';

export type NodePhase = 'draining' | 'drained' | 'updating' | 'updated' | 'soaking' | 'done';

/** Everything a run tells. One union, so that each way of telling it is one function. */
export type RunEvent =
  | {
      readonly type: 'run-started';
      readonly target: Release;
      readonly kind: UpgradeKind;
      readonly running: Release;
      readonly stages: readonly string[];
      /** An earlier process of this rollout has already changed something. */
      readonly resumed: boolean;
      readonly nodes: readonly { readonly name: string; readonly release: Release }[];
    }
  | { readonly type: 'stage-started'; readonly stage: string; readonly summary: string }
  | { readonly type: 'stage-skipped'; readonly stage: string; readonly why: string }
  | { readonly type: 'stage-done'; readonly stage: string; readonly seconds: number }
  | {
      readonly type: 'node';
      readonly node: string;
      readonly phase: NodePhase;
      readonly from: Release;
      readonly to: Release;
      /** Of the phase that has just ended. */
      readonly seconds?: number;
      readonly pods?: number;
    }
  | { readonly type: 'script'; readonly node: string; readonly script: string; readonly line: string }
  | { readonly type: 'waiting'; readonly reasons: readonly string[]; readonly until: string }
  | {
      readonly type: 'snapshot';
      readonly path: string;
      readonly hash: string;
      readonly revision: number;
      readonly size: number;
    }
  /** The rollout's mark on the namespace was set, found, or cleared. */
  | { readonly type: 'in-flight'; readonly startedAt: number | undefined; readonly snapshotTaken: boolean }
  /** The process is alive. */
  | { readonly type: 'heartbeat' }
  | { readonly type: 'planned-action'; readonly action: string }
  /** Worth a person's eye and no reason to stop. */
  | { readonly type: 'notice'; readonly text: string }
  | { readonly type: 'handed-off'; readonly job: string; readonly why: string }
  | {
      readonly type: 'run-ended';
      readonly outcome: Outcome;
      readonly target: Release;
      readonly message: string;
      readonly hint?: string;
      /** An earlier process of this run has told the end already. */
      readonly repeated?: boolean;
    };

/** A way of telling: a log, Slack, metrics, Events. */
export interface Sink {
  readonly name: string;
  handle(event: RunEvent): void | Promise<void>;
}

/**
 * Tells every sink about every event, in order, without waiting for a slow one. A sink that fails
 * is noted in the log and never stops a run.
 */
export class Report {
  readonly #sinks: { sink: Sink; queue: Promise<void> }[] = [];
  readonly #onFailure: (sink: string, error: unknown) => void;

  constructor(onFailure: (sink: string, error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** The sink hears what is emitted from now on. */
  add(sink: Sink): void {
    this.#sinks.push({ sink, queue: Promise.resolve() });
  }

  emit(event: RunEvent): void {
    for (const entry of this.#sinks) {
      entry.queue = entry.queue
        .then(() => entry.sink.handle(event))
        .catch((error) => this.#onFailure(entry.sink.name, error));
    }
  }

  /** Waits until everything was told. Each sink bounds its own time. */
  async flush(): Promise<void> {
    await Promise.all(this.#sinks.map((entry) => entry.queue));
  }
}
