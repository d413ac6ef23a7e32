import type { Logger } from 'pino';
import type { KubernetesClient } from '../cluster/client.ts';
import type { ClusterReader } from '../cluster/reader.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import type { Outcome } from '../errors.ts';
import type { Release, UpgradeKind } from '../release.ts';
import type { PackageRepository } from '../releases/repository.ts';
import type { Settings } from '../settings/settings.ts';
import type { NodeShell } from '../ssh/node-shell.ts';

export interface DetectContext {
  readonly settings: Settings;
  readonly client: KubernetesClient;
  readonly cluster: ClusterReader;
  readonly writer: ClusterWriter;
  /** Without it no node's package list is refreshed: what is published is taken for what nodes are offered. */
  readonly shell: NodeShell | undefined;
  readonly repository: PackageRepository;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Who detects: no other process has this name. */
  readonly processName: string;
}

export interface Detection {
  readonly outcome: Outcome;
  readonly message: string;
  readonly running: Release;
  /** The newest release of each kind that exists, taken or not. */
  readonly available: readonly { readonly kind: UpgradeKind; readonly release: Release }[];
  /** Whether anybody should be told. */
  readonly news: boolean;
}
