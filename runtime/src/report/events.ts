import type { Outcome } from '../errors.ts';
import type { Release, UpgradeKind } from '../release.ts';

/** Where a node is in its upgrade. */
export type NodePhase =
  | 'preparing'
  | 'prepared'
  | 'running-kubeadm'
  | 'ran-kubeadm'
  | 'draining'
  | 'drained'
  | 'updating'
  | 'updated'
  | 'soaking'
  | 'done';

/** Everything that a run reports. One union, so that each sink handles all of it in one function. */
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
  /** The stage has nothing to do. */
  | { readonly type: 'stage-skipped'; readonly stage: string; readonly why: string }
  | { readonly type: 'stage-done'; readonly stage: string; readonly seconds: number }
  | {
      readonly type: 'node';
      readonly node: string;
      readonly phase: NodePhase;
      readonly from: Release;
      readonly to: Release;
      /** Duration of the phase that has just ended; a node that is `done` without a soak has none. */
      readonly seconds?: number;
      /** How many pods were evicted. */
      readonly pods?: number;
    }
  /** One line of a script's output on a node. */
  | { readonly type: 'script'; readonly node: string; readonly script: string; readonly line: string }
  /** Gates are closed, and the run waits for them. */
  | { readonly type: 'waiting'; readonly reasons: readonly string[]; readonly until: string }
  | {
      readonly type: 'snapshot';
      readonly path: string;
      readonly hash: string;
      readonly revision: number;
      readonly size: number;
    }
  /** The in-flight annotations were set, found, or cleared. `startedAt` in epoch milliseconds. */
  | { readonly type: 'in-flight'; readonly startedAt: number | undefined; readonly snapshotTaken: boolean }
  /** The process is alive. */
  | { readonly type: 'heartbeat' }
  /** An action that a dry-run did not take. */
  | { readonly type: 'planned-action'; readonly action: string }
  /** A person should know this, but the run continues. */
  | { readonly type: 'notice'; readonly text: string }
  /** The next Job continues the run. */
  | { readonly type: 'handed-off'; readonly job: string; readonly why: string }
  | {
      readonly type: 'run-ended';
      readonly outcome: Outcome;
      readonly target: Release;
      readonly message: string;
      readonly hint?: string;
      /** Whether an earlier process of this run has already reported the end. */
      readonly repeated?: boolean;
    };

/** A receiver of events: the log, Slack, metrics, or Kubernetes Events. */
export interface Sink {
  /** Named in the log when the sink fails. */
  readonly name: string;
  /** Called for one event at a time, in order. May throw; the run continues. */
  handle(event: RunEvent): void | Promise<void>;
}

/**
 * Passes every event to every sink, in order, without waiting for slow ones. A failing sink is passed to
 * `onFailure` and never stops a run.
 */
export class Report {
  readonly #sinks: { sink: Sink; queue: Promise<void> }[] = [];
  readonly #onFailure: (sink: string, error: unknown) => void;

  constructor(onFailure: (sink: string, error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** Adds a sink, which receives the events emitted from now on. */
  add(sink: Sink): void {
    this.#sinks.push({ sink, queue: Promise.resolve() });
  }

  /** Queues the event for every sink. Never throws. */
  emit(event: RunEvent): void {
    for (const entry of this.#sinks) {
      entry.queue = entry.queue
        .then(() => entry.sink.handle(event))
        .catch((error) => this.#onFailure(entry.sink.name, error));
    }
  }

  /** Waits until every sink has handled every event. Each sink limits its own time. */
  async flush(): Promise<void> {
    await Promise.all(this.#sinks.map((entry) => entry.queue));
  }
}
