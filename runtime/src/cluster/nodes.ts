import type { V1Node } from '@kubernetes/client-node';
import { InputError } from '../errors.ts';
import { type Release, releaseOf } from '../release.ts';

/** The rollout's annotations of a node, which `rollout/node-annotations.ts` reads and writes. */
export interface NodeAnnotations {
  /** The rollout in flight cordoned the node, and may uncordon it (F11). */
  readonly cordonedByUs: boolean;
  /** The node is cordoned, and marked by a rollout that is over: it may be a person's cordon (F47). */
  readonly cordonedEarlier: boolean;
  /** When a rollout started to change this node, epoch milliseconds. */
  readonly changedAt: number | undefined;
  /** `NAMESPACE/NAME` of the DaemonSets that had a Ready pod here when this rollout started to change it. */
  readonly daemonSets: readonly string[];
  /**
   * In progress without `cordonedByUs`: a person cordoned the node or has uncordoned it, or it is not drained
   * (containerd).
   */
  readonly unfinished: boolean;
  /** `unfinished`, and at most kubeadm's step was started: its kubelet is as before, so it may serve on. */
  readonly kubeadmOnly: boolean;
  /** When its soak started, epoch milliseconds; undefined when none is due. */
  readonly soakingSince: number | undefined;
  /** Keys of the annotations that an earlier rollout left. They do not count; the next write removes them. */
  readonly stale: readonly string[];
}

/** Reads the annotations of the rollout in flight among all annotations of a node. */
export type ReadAnnotations = (
  annotations: Readonly<Record<string, string>>,
  unschedulable: boolean,
) => NodeAnnotations;

/** A node as the upgrade sees it. */
export interface ClusterNode extends NodeAnnotations, NodeFacts {}

/** What a Node object says without regard to any rollout. */
export interface NodeFacts {
  /** Name of the Node object. */
  readonly name: string;
  /** `resourceVersion`: a patch with it fails if the node has changed since. */
  readonly version: string | undefined;
  /** InternalIP, to which SSH connects (F25). */
  readonly address: string;
  /** It has a label of the control plane. */
  readonly controlPlane: boolean;
  /** Release of its kubelet. */
  readonly release: Release;
  /** `1.7.24` of `containerd://1.7.24`; undefined for another runtime. */
  readonly containerd: string | undefined;
  /** Its condition Ready is True. */
  readonly ready: boolean;
  /** When Ready last changed, epoch milliseconds; 0 when unknown. */
  readonly readySince: number;
  /** When its kubelet last reported Ready, epoch milliseconds by the node's clock; 0 when unknown. */
  readonly reportedAt: number;
  /** Pressure conditions that are true, such as `DiskPressure`. */
  readonly pressures: readonly string[];
  /** It is cordoned, by a rollout or by a person. */
  readonly unschedulable: boolean;
  /** Its taints; `value` is empty when there is none. */
  readonly taints: readonly { key: string; value: string; effect: string }[];
  /** Label key → value. */
  readonly labels: Readonly<Record<string, string>>;
}

/** The architectures of nodes, such as `amd64`. A node without the kubelet's label has none. */
export const architecturesOf = (nodes: readonly ClusterNode[]): string[] => [
  ...new Set(nodes.flatMap(({ labels }) => labels['kubernetes.io/arch'] ?? [])),
];

const controlPlaneLabels = ['node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master'];
const pressureTypes = ['MemoryPressure', 'DiskPressure', 'PIDPressure', 'NetworkUnavailable'];

/** Reads a Node object. @throws InputError without an InternalIP or when the kubelet reports no release. */
export const readNode = (node: V1Node, readAnnotations: ReadAnnotations): ClusterNode => {
  const facts = readFacts(node);
  return { ...facts, ...readAnnotations(node.metadata?.annotations ?? {}, facts.unschedulable) };
};

/** As {@link readNode}, without the rollout's annotations. */
export function readFacts(node: V1Node): NodeFacts {
  const name = node.metadata?.name ?? '';
  const labels = node.metadata?.labels ?? {};
  const conditions = node.status?.conditions ?? [];
  const readyCondition = conditions.find((c) => c.type === 'Ready');
  return {
    name,
    version: node.metadata?.resourceVersion,
    address: internalAddress(node, name),
    controlPlane: controlPlaneLabels.some((label) => label in labels),
    release: kubeletRelease(node, name),
    containerd: /^containerd:\/\/v?(\d+\.\d+\.\d+)/.exec(
      node.status?.nodeInfo?.containerRuntimeVersion ?? '',
    )?.[1],
    ready: readyCondition?.status === 'True',
    readySince: timeOf(readyCondition?.lastTransitionTime) ?? 0,
    reportedAt: timeOf(readyCondition?.lastHeartbeatTime) ?? 0,
    pressures: conditions
      .filter((c) => pressureTypes.includes(c.type) && c.status === 'True')
      .map((c) => c.type),
    unschedulable: node.spec?.unschedulable ?? false,
    taints: (node.spec?.taints ?? []).map((t) => ({ key: t.key, value: t.value ?? '', effect: t.effect })),
    labels,
  };
}

/**
 * Separates readable nodes from the errors of the others, such as a node that is joining or has no kubelet.
 */
export function readNodes<T>(
  items: readonly V1Node[],
  read: (item: V1Node) => T,
): { nodes: T[]; unreadable: InputError[] } {
  const nodes: T[] = [];
  const unreadable: InputError[] = [];
  for (const item of items) {
    try {
      nodes.push(read(item));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      unreadable.push(error);
    }
  }
  return { nodes, unreadable };
}

function internalAddress(node: V1Node, name: string): string {
  const address = node.status?.addresses?.find((a) => a.type === 'InternalIP')?.address;
  if (address) return address;
  const given = node.status?.addresses?.map((a) => `${a.type}=${a.address}`).join(', ') || 'no address';
  throw new InputError(`node ${name} status.addresses`, given, 'an InternalIP');
}

function kubeletRelease(node: V1Node, name: string): Release {
  const reported = node.status?.nodeInfo?.kubeletVersion ?? 'nothing';
  const release = releaseOf(reported);
  if (release === undefined)
    throw new InputError(`node ${name} kubeletVersion`, reported, 'a release such as v1.34.2');
  return release;
}

/** RFC 3339 text or a Date → epoch milliseconds; undefined for anything else. */
export function timeOf(text: string | Date | undefined): number | undefined {
  if (text === undefined) return undefined;
  const time = new Date(text).getTime();
  return Number.isNaN(time) ? undefined : time;
}

interface Order {
  readonly controlPlane: readonly string[];
  readonly workers: readonly string[];
}

/**
 * Sorts nodes in the order of a rollout: control plane first; in each group the listed nodes in the order of
 * the list, then the others by name.
 */
export function inOrder(nodes: readonly ClusterNode[], order: Order): ClusterNode[] {
  const group = (members: readonly ClusterNode[], listed: readonly string[]) => {
    const place = (node: ClusterNode) => {
      const index = listed.indexOf(node.name);
      return index === -1 ? listed.length : index;
    };
    return [...members].sort(
      (a, b) => place(a) - place(b) || a.name.localeCompare(b.name, 'en', { numeric: true }),
    );
  };
  return [
    ...group(
      nodes.filter((n) => n.controlPlane),
      order.controlPlane,
    ),
    ...group(
      nodes.filter((n) => !n.controlPlane),
      order.workers,
    ),
  ];
}
