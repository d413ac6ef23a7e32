import { isIPv6 } from 'node:net';
import { controlPlanePods } from '../cluster/control-plane-pods.ts';
import { type EtcdAccess, etcdAccess } from '../cluster/etcd-access.ts';
import { hasExternalEtcd } from '../cluster/external-etcd.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import { isInProgressOf } from '../rollout/node-annotations.ts';
import type { NodeShell } from '../ssh/node-shell.ts';
import type { Findings, Gate } from './gate.ts';

/** The certificate of kubeadm's etcd names both loopback addresses and localhost. */
const healthCommand = ({ endpoint, authority, certificate, key }: EtcdAccess) => [
  'etcdctl',
  `--endpoints=${endpoint}`,
  `--cacert=${authority}`,
  `--cert=${certificate}`,
  `--key=${key}`,
  ...['endpoint', 'health', '--cluster', '-w', 'json'],
];

/** The container etcd of the node's static pod, and of no other (F37). crictl lists what has all labels. */
const findCommand = (node: ClusterNode) => [
  ...['crictl', 'ps', '--state', 'Running'],
  ...['--label', 'io.kubernetes.container.name=etcd'],
  ...['--label', 'io.kubernetes.pod.namespace=kube-system'],
  ...['--label', `io.kubernetes.pod.name=etcd-${node.name}`],
  '-q',
];

/**
 * Queries etcd on one control-plane node for the health of every member. A cluster of three survives the loss
 * of one member but not of two, so no control-plane node goes down while another one's member is unhealthy. A
 * Ready pod is not enough: a member that has lost the others still passes its own probe. The member of a node
 * that this rollout is upgrading may be unhealthy, since the others keep the quorum.
 */
export const etcdMembers: Gate = {
  name: 'etcd-members',
  summary: 'every member of etcd is present and healthy',
  outcomeWhenClosed: 'blocked',
  opensByWaiting: true,
  async check(ctx) {
    const { nodes, shell, inFlight, cluster } = ctx;
    if (await hasExternalEtcd(ctx, nodes))
      return { reasons: [], notAsked: 'not checked: etcd is outside the cluster and is not upgraded' };
    const members = nodes.filter((node) => node.controlPlane);
    if (members.length === 1)
      return {
        reasons: [],
        notAsked: 'not checked: the only member goes down with its node in any case',
      };
    const inProgress = members.filter((node) => isInProgressOf(node, inFlight));
    const others = members.filter((node) => !inProgress.includes(node));
    const queried = others.find((node) => node.ready) ?? others[0] ?? members[0];
    if (queried === undefined) return { reasons: ['the cluster has no control-plane node'] };
    const [pod] = controlPlanePods(await cluster.pods(), [queried], ['etcd']);
    if (pod === undefined)
      return {
        reasons: [`${queried.name} has no pod kube-system/etcd-${queried.name}: is etcd running there?`],
      };
    const health = await healthFrom(shell, queried, etcdAccess(pod));
    if ('why' in health) return { reasons: [health.why] };
    return judge(members, inProgress, queried, health.output);
  },
};

/** The output of etcdctl in etcd's container, or why it cannot run. */
async function healthFrom(
  shell: NodeShell,
  node: ClusterNode,
  access: EtcdAccess,
): Promise<{ output: string } | { why: string }> {
  const container = await shell.read(node, findCommand(node));
  // As sudo and as a shell report it.
  if (/crictl: (command )?not found/.test(container.output))
    return {
      why: `crictl is missing on ${node.name} and is needed to reach etcd: apt-get install cri-tools`,
    };
  const [id, ...more] = container.output.match(/^[0-9a-f]{12,64}$/gm) ?? [];
  if (id === undefined) return { why: `etcd is not running on ${node.name}; see crictl ps -a on that node` };
  if (more.length > 0) {
    const all = [id, ...more].map((one) => one.slice(0, 13)).join(', ');
    return { why: `several containers on ${node.name} are etcd of kube-system/etcd-${node.name}: ${all}` };
  }
  const { output } = await shell.read(node, ['crictl', 'exec', id, ...healthCommand(access)]);
  return { output };
}

interface Endpoint {
  readonly endpoint: string;
  readonly health: boolean;
  readonly error?: string;
}

function judge(
  members: readonly ClusterNode[],
  inProgress: readonly ClusterNode[],
  queried: ClusterNode,
  output: string,
): Findings {
  const endpoints = endpointsIn(output);
  if (endpoints === undefined) {
    const answer = output.trim().slice(-200) || 'no output';
    return { reasons: [`etcd on ${queried.name} does not report the health of its members: ${answer}`] };
  }
  const isOf = ({ address }: ClusterNode, { endpoint }: Endpoint) =>
    endpoint.includes(isIPv6(address) ? `//[${address}]:` : `//${address}:`);
  const nameOf = (one: Endpoint) => members.find((node) => isOf(node, one))?.name ?? one.endpoint;
  const unhealthy = endpoints.filter((one) => !one.health && !inProgress.some((node) => isOf(node, one)));
  const excused = inProgress.filter((node) => !endpoints.some((one) => isOf(node, one)));
  const missing = members.length - excused.length - endpoints.length;
  return {
    reasons: [
      ...unhealthy.map(
        (one) => `etcd's member on ${nameOf(one)} is not healthy: ${one.error ?? 'no reason given'}`,
      ),
      ...(missing > 0
        ? [
            `etcd has ${endpoints.length} reachable members, but there are ${members.length} control-plane nodes`,
          ]
        : []),
    ],
  };
}

/** Parses the one line of JSON among etcdctl's log lines; undefined when there is none. */
function endpointsIn(output: string): Endpoint[] | undefined {
  const line = output.split('\n').find((one) => one.startsWith('['));
  if (line === undefined) return undefined;
  try {
    return JSON.parse(line) as Endpoint[];
  } catch {
    return undefined;
  }
}
