import type { KubernetesObject } from '@kubernetes/client-node';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import type { UserRef } from './api/auth/tokens.ts';
import type { RequestRecord } from './api/request-log.ts';
import type { Change } from './api/store.ts';
import type { KubeObject, Node, TypeOf } from './api/types.ts';
import type { NodeHooks } from './nodes/node.ts';

/** The embedded API server answers at once, a real one later: `await` is right for both. */
export type Answer<T> = T | Promise<T>;

/** The resources that a {@link ClusterView} holds. */
export type ViewedResource = 'nodes' | 'namespaces' | 'pods' | 'jobs' | 'leases';

/**
 * Nodes, namespaces, pods, and the pipeline's Jobs and Leases, and every change of them, in the order in
 * which they were written. While a listener runs, `get` and `list` return the objects as they were right
 * after that change.
 */
export interface ClusterView {
  get<R extends ViewedResource>(
    resource: R,
    namespace: string | undefined,
    name: string,
  ): TypeOf<R> | undefined;
  list<R extends ViewedResource>(resource: R, namespace?: string): TypeOf<R>[];
  /** Returns how to stop. */
  subscribe(listener: (change: Change) => void): () => void;
}

/**
 * What the lab needs of an API server, of the controllers behind it and of the kubelets in front of it.
 * `LabApi` is the embedded one; `test/conformance/real-api.ts` is kube-apiserver. What differs between the
 * two is a defect of the lab: see `api/contract`.
 */
export interface ApiServer {
  /** `https://127.0.0.1:<port>`. */
  readonly url: string;
  /** The release that it answers with, `X.Y.Z`. */
  readonly version: string;
  readonly view: ClusterView;
  /** YAML text. */
  kubeconfig(user: UserRef): Answer<string>;
  /** The settings of a lab on this API server: a real one needs more time for some things. */
  settings(base: SettingsInput): SettingsInput;

  /** Undefined when there is no such object. */
  get<R extends string>(
    resource: R,
    namespace: string | undefined,
    name: string,
  ): Answer<TypeOf<R> | undefined>;
  /** All of them, or those of one namespace. */
  list<R extends string>(resource: R, namespace?: string): Answer<TypeOf<R>[]>;
  /** Creates the objects, or replaces those that exist, in the given order, as an administrator. */
  apply(objects: readonly KubeObject[]): Answer<void>;
  /** Reads, changes and writes one object, its status too; does nothing when there is no such object. */
  modify<R extends string>(
    resource: R,
    namespace: string | undefined,
    name: string,
    change: (object: TypeOf<R>) => void,
  ): Answer<void>;
  /** Deletes one object without a grace period. */
  remove(resource: string, namespace: string | undefined, name: string): Answer<void>;
  /** Creates what `scripts/tg apply` would create, in an order that works. */
  deploy(objects: readonly KubernetesObject[]): Answer<void>;

  /** A node joins, and its kubelet runs: `node` is what it reports, with its status. */
  join(node: KubeObject): Answer<void>;
  /**
   * An administrator takes a node out: it goes, and its pods with it. Returns what {@link join} needs to
   * bring it back.
   */
  leave(name: string): Answer<Node>;
  /** What the programs of this node change in the cluster: its kubelet's reports, its control plane. */
  hooks(node: string): NodeHooks;
  /** The API server comes back as another release, without any node's doing. */
  setVersion(release: string): Answer<void>;
  /** Kills the processes of a pod with SIGKILL. False when none runs. */
  killPod(name: string): boolean;

  /** The requests of clients that are no part of the cluster, oldest first; also after {@link stop}. */
  requestLog(): Answer<readonly RequestRecord[]>;
  /** Resolves when the controllers have nothing left to do. */
  settled(): Promise<void>;
  /** Resolves when the listeners of {@link view} have had every change up to now. */
  caughtUp(): Promise<void>;
  /** Ends it, its controllers, and the processes of its pods. */
  stop(): Promise<void>;
}

/** Starts the API server of a lab. */
export type StartApi<A extends ApiServer> = (options: {
  /** Scratch directory. */
  readonly dir: string;
  readonly release: string;
  /** Image prefix → the command that stands for it: pods of such images run as processes of this machine. */
  readonly entrypoints: Readonly<Record<string, readonly string[]>>;
}) => Promise<A>;
