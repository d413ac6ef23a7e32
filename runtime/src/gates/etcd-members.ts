import { isIPv6 } from 'node:net';
import { hasExternalEtcd } from '../cluster/external-etcd.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import { isInProgressOf } from '../rollout/node-marks.ts';
import type { NodeShell } from '../ssh/node-shell.ts';
import type { Findings, Gate } from './gate.ts';

const pki = '/etc/kubernetes/pki/etcd';
/** kubeadm has etcd listen on the loopback address of the node's family, and names both in the certificate; so is localhost. */
const askMembers = (address: string) => [
  'etcdctl',
  `--endpoints=https://${isIPv6(address) ? 'localhost' : '127.0.0.1'}:2379`,
  `--cacert=${pki}/ca.crt`,
  `--cert=${pki}/server.crt`,
  `--key=${pki}/server.key`,
  ...['endpoint', 'health', '--cluster', '-w', 'json'],
];

/**
 * etcd itself, asked on one control-plane node about every member. A cluster of three goes on with one member away and stops with two,
 * so no control-plane node is taken down while another one's member is not well. A pod that is Ready is not enough: a
 * member that has lost the others answers its own probe. The member of a node that this rollout is in the middle of may be ill:
 * it is the others that have to carry on.
 */
export const etcdMembers: Gate = {
  name: 'etcd-members',
  summary: 'every member of etcd is there and healthy',
  outcomeWhenClosed: 'blocked',
  opensByWaiting: true,
  async check(ctx) {
    const { nodes, shell, inFlight } = ctx;
    if (await hasExternalEtcd(ctx))
      return { reasons: [], notAsked: 'not asked: etcd is outside the cluster, and stays as it is' };
    const members = nodes.filter((node) => node.controlPlane);
    if (members.length === 1)
      return {
        reasons: [],
        notAsked: 'not asked: the only member goes down with its node, whatever it says',
      };
    const inProgress = members.filter((node) => isInProgressOf(node, inFlight));
    const others = members.filter((node) => !inProgress.includes(node));
    const asked = others.find((node) => node.ready) ?? others[0] ?? members[0];
    if (asked === undefined) return { reasons: ['the cluster shows no control-plane node'] };
    const health = await healthFrom(shell, asked);
    if ('why' in health) return { reasons: [health.why] };
    return judge(members, inProgress, asked, health.output);
  },
};

/** What etcdctl prints; it is in etcd's container. Or why it cannot be asked. */
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
  // Of sudo, of a shell.
  if (/crictl: (command )?not found/.test(container.output))
    return {
      why: `crictl is missing on ${node.name}, and etcd is reached through it: apt-get install cri-tools`,
    };
  const id = /^[0-9a-f]{12,64}$/m.exec(container.output)?.[0];
  if (id === undefined) return { why: `etcd is not running on ${node.name}; see crictl ps -a on that node` };
  const { output } = await shell.read(node, ['crictl', 'exec', id, ...askMembers(node.address)]);
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
  asked: ClusterNode,
  output: string,
): Findings {
  const endpoints = endpointsIn(output);
  if (endpoints === undefined) {
    const said = output.trim().slice(-200) || 'nothing';
    return { reasons: [`etcd on ${asked.name} does not say how its members are: ${said}`] };
  }
  const isOf = ({ address }: ClusterNode, { endpoint }: Endpoint) =>
    endpoint.includes(isIPv6(address) ? `//[${address}]:` : `//${address}:`);
  const nameOf = (one: Endpoint) => members.find((node) => isOf(node, one))?.name ?? one.endpoint;
  const ill = endpoints.filter((one) => !one.health && !inProgress.some((node) => isOf(node, one)));
  const excused = inProgress.filter((node) => !endpoints.some((one) => isOf(node, one)));
  const missing = members.length - excused.length - endpoints.length;
  return {
    reasons: [
      ...ill.map(
        (one) => `etcd's member on ${nameOf(one)} is not healthy: ${one.error ?? 'no reason given'}`,
      ),
      ...(missing > 0
        ? [
            `etcd has ${endpoints.length} members that can be reached for ${members.length} control-plane nodes`,
          ]
        : []),
    ],
  };
}

/** The one line of JSON; etcdctl logs beside it. */
function endpointsIn(output: string): Endpoint[] | undefined {
  const line = output.split('\n').find((one) => one.startsWith('['));
  if (line === undefined) return undefined;
  try {
    return JSON.parse(line) as Endpoint[];
  } catch {
    return undefined;
  }
}
