import type { Logger } from 'pino';
import type { KubernetesClient } from '../cluster/client.ts';
import type { ClusterReader } from '../cluster/reader.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import type { Outcome } from '../errors.ts';
import type { Release, UpgradeKind } from '../release.ts';
import type { PackageRepository } from '../releases/repository.ts';
import type { Settings } from '../settings/settings.ts';
import type { NodeShell } from '../ssh/node-shell.ts';

/** What a detection works with. */
export interface DetectContext {
  /** Policy, dispatch, time-outs and services. */
  readonly settings: Settings;
  /** Reads the lease, Jobs, pods and the namespace. */
  readonly client: KubernetesClient;
  /** Reads nodes and the release of the API server. */
  readonly cluster: ClusterReader;
  /** Writes annotations of the namespace, and the Job with `dispatch.mode: job`. */
  readonly writer: ClusterWriter;
  /** Refreshes a node's package list. Without it, nodes are assumed to be offered every published release. */
  readonly shell: NodeShell | undefined;
  /** Lists the published releases. */
  readonly repository: PackageRepository;
  /** Receives what does not fit into the result. */
  readonly logger: Logger;
  /** Aborts the detection. */
  readonly signal: AbortSignal;
  /** Name of this process, recorded with a dispatch; unique. */
  readonly processName: string;
}

/** The result of a detection. */
export interface Detection {
  /** How it ended. */
  readonly outcome: Outcome;
  /** One sentence for the log and Slack. */
  readonly message: string;
  /** The older of the API server and the oldest kubelet. */
  readonly running: Release;
  /** The newest available release of each kind, chosen or not. */
  readonly available: readonly { readonly kind: UpgradeKind; readonly release: Release }[];
  /** Whether to post the message in Slack. */
  readonly news: boolean;
}
