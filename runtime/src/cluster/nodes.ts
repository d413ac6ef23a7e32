import type { V1Node } from '@kubernetes/client-node';
import { InputError } from '../errors.ts';
import { type Release, releaseOf } from '../release.ts';

/** What a rollout has noted on a node, in annotations that `rollout/node-marks.ts` reads and writes. */
export interface NodeMarks {
  /** The cordon is this program's own, so it may be lifted (F11). */
  readonly cordonedByUs: boolean;
  /** When a rollout began to change this node, epoch milliseconds. */
  readonly changedAt: number | undefined;
  /** Begun by a rollout and not finished, where no cordon of ours says so: a person's is on it, or it is not drained (containerd). */
  readonly unfinished: boolean;
  /** When its soak began, epoch milliseconds, if no one has seen it through. */
  readonly soakingSince: number | undefined;
}

/** @param annotations of a node. */
export type ReadMarks = (annotations: Readonly<Record<string, string>>) => NodeMarks;

/** A node as the upgrade sees it. */
export interface ClusterNode extends NodeMarks {
  readonly name: string;
  /** `resourceVersion`, by which a change after this reading is noticed. */
  readonly version: string | undefined;
  /** SSH goes there (F25). */
  readonly address: string;
  readonly controlPlane: boolean;
  /** What its kubelet reports. */
  readonly release: Release;
  /** `1.7.24` of `containerd://1.7.24`; undefined for another runtime. */
  readonly containerd: string | undefined;
  readonly ready: boolean;
  /** When Ready last changed, epoch milliseconds. */
  readonly readySince: number;
  /** Pressure conditions that are true, such as `DiskPressure`. */
  readonly pressures: readonly string[];
  readonly unschedulable: boolean;
  readonly taints: readonly { key: string; value: string; effect: string }[];
  readonly labels: Readonly<Record<string, string>>;
}

const controlPlaneLabels = ['node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master'];
const pressureTypes = ['MemoryPressure', 'DiskPressure', 'PIDPressure', 'NetworkUnavailable'];

/** @throws InputError for a node without an InternalIP or with a kubelet that reports no release. */
export function readNode(node: V1Node, readMarks: ReadMarks): ClusterNode {
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
    readySince: readyCondition?.lastTransitionTime
      ? new Date(readyCondition.lastTransitionTime).getTime()
      : 0,
    pressures: conditions
      .filter((c) => pressureTypes.includes(c.type) && c.status === 'True')
      .map((c) => c.type),
    unschedulable: node.spec?.unschedulable ?? false,
    ...readMarks(node.metadata?.annotations ?? {}),
    taints: (node.spec?.taints ?? []).map((t) => ({ key: t.key, value: t.value ?? '', effect: t.effect })),
    labels,
  };
}

/** Those that can be read, and what is odd about the others: a node that is just joining, or one that no kubelet runs. */
export function readNodes(
  items: readonly V1Node[],
  readMarks: ReadMarks,
): { nodes: ClusterNode[]; unreadable: InputError[] } {
  const nodes: ClusterNode[] = [];
  const unreadable: InputError[] = [];
  for (const item of items) {
    try {
      nodes.push(readNode(item, readMarks));
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

/** RFC 3339, or what the client has made of it → epoch milliseconds; undefined for anything else. */
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
 * The order of a rollout: control plane first; in each group the listed nodes as listed, then the others by name.
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
