import { isIPv6 } from 'node:net';
import { hasExternalEtcd } from '../cluster/external-etcd.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import { isInProgressOf } from '../rollout/node-annotations.ts';
import type { NodeShell } from '../ssh/node-shell.ts';
import type { Findings, Gate } from './gate.ts';

const pki = '/etc/kubernetes/pki/etcd';
/**
 * etcd of kubeadm listens on the loopback address of the node's address family. Its certificate names both
 * loopback addresses and localhost.
 */
const healthCommand = (address: string) => [
  'etcdctl',
  `--endpoints=https://${isIPv6(address) ? 'localhost' : '127.0.0.1'}:2379`,
  `--cacert=${pki}/ca.crt`,
  `--cert=${pki}/server.crt`,
  `--key=${pki}/server.key`,
  ...['endpoint', 'health', '--cluster', '-w', 'json'],
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
    const { nodes, shell, inFlight } = ctx;
    if (await hasExternalEtcd(ctx))
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
    const health = await healthFrom(shell, queried);
    if ('why' in health) return { reasons: [health.why] };
    return judge(members, inProgress, queried, health.output);
  },
};

/** The output of etcdctl in etcd's container, or why it cannot run. */
async function healthFrom(
  shell: NodeShell,
  node: ClusterNode,
): Promise<{ output: string } | { why: string }> {
  const container = await shell.read(node, [
    'crictl',
    'ps',
    '--state',
    'Running',
    '--label',
    'io.kubernetes.container.name=etcd',
    '-q',
  ]);
  // As sudo and as a shell report it.
  if (/crictl: (command )?not found/.test(container.output))
    return {
      why: `crictl is missing on ${node.name} and is needed to reach etcd: apt-get install cri-tools`,
    };
  const id = /^[0-9a-f]{12,64}$/m.exec(container.output)?.[0];
  if (id === undefined) return { why: `etcd is not running on ${node.name}; see crictl ps -a on that node` };
  const { output } = await shell.read(node, ['crictl', 'exec', id, ...healthCommand(node.address)]);
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
