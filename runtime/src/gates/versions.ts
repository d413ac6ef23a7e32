import type { V1Pod } from '@kubernetes/client-node';
import type { ClusterNode } from '../cluster/nodes.ts';
import type { ClusterReader } from '../cluster/reader.ts';
import { compareReleases, minorsBetween, newest, type Release, releaseOf } from '../release.ts';
import { isInterrupted } from './alerts.ts';
import type { Gate, GateContext } from './gate.ts';

/**
 * A kubelet may be some patches ahead of the API server, as one that joined late is: going to its release or beyond ends that. It may
 * not be of a newer minor. Half way through several control-plane nodes, the API server that
 * answers may be an old one: there a kubelet counts as ahead only when it is ahead of the one beside it, too, by that one's image.
 */
export const versionPath: Gate = {
  name: 'version-path',
  summary: 'no version is newer than the target or too far behind it',
  closes: 'blocked',
  async check({ cluster, nodes, server, target }) {
    const servers = apiServersOf(await cluster.pods());
    const serverFor = (n: ClusterNode) => {
      const others = n.controlPlane ? [servers.get(n.name) ?? server] : [...servers.values()];
      return newest([server, ...others]) ?? server;
    };
    const beyond = nodes.filter((n) => compareReleases(n.release, target) > 0);
    const ahead = nodes.filter(
      (n) => !beyond.includes(n) && (minorsBetween(serverFor(n), n.release) ?? 99) > 0,
    );
    const behind = nodes.filter((n) => (minorsBetween(n.release, target) ?? 99) > 1);
    return {
      reasons: [
        ...beyond.map((n) => `kubelet ${n.release} of ${n.name} is newer than ${target}`),
        ...ahead.map(
          (n) => `kubelet ${n.release} of ${n.name} is of a newer minor than the API server ${serverFor(n)}`,
        ),
        ...behind.map((n) => `kubelet ${n.release} of ${n.name} is more than one minor behind ${target}`),
      ],
    };
  },
};

const isApiServer = ({ metadata }: V1Pod): boolean =>
  metadata?.namespace === 'kube-system' && metadata.labels?.component === 'kube-apiserver';

/** The pod as it is once its node is at the target: an API server's image says so, any other pod stays. */
export function withServerImage(pod: V1Pod, target: Release): V1Pod {
  const [container] = pod.spec?.containers ?? [];
  if (container === undefined || !isApiServer(pod)) return pod;
  return {
    ...pod,
    spec: { ...pod.spec, containers: [{ ...container, image: `kube-apiserver:v${target}` }] },
  };
}

/** Node name → what its API server runs; without those whose image does not say it. */
function apiServersOf(pods: readonly V1Pod[]): Map<string, Release> {
  const found = new Map<string, Release>();
  for (const { spec } of pods.filter(isApiServer)) {
    const tag = spec?.containers[0]?.image?.replace(/@.*$/, '').split(':').at(-1) ?? '';
    const release = releaseOf(tag);
    if (release !== undefined && spec?.nodeName) found.set(spec.nodeName, release);
  }
  return found;
}

/**
 * Control-plane nodes whose API server is behind, whatever their kubelet is. Where there is one, what answers says it; where there are
 * several, any of them may answer, and each one's image does.
 */
export async function serversBehind(
  cluster: Pick<ClusterReader, 'pods' | 'serverRelease'>,
  nodes: readonly ClusterNode[],
  target: Release,
): Promise<ClusterNode[]> {
  const controlPlane = nodes.filter((node) => node.controlPlane);
  const server = await cluster.serverRelease();
  const servers = controlPlane.length > 1 ? apiServersOf(await cluster.pods()) : new Map<string, Release>();
  return controlPlane.filter(({ name }) => compareReleases(servers.get(name) ?? server, target) < 0);
}

/** Nodes on which something is left to do: their kubelet, or the API server on them. */
export async function pendingNodes({ cluster, nodes, target }: GateContext): Promise<ClusterNode[]> {
  const behind = await serversBehind(cluster, nodes, target);
  return nodes.filter((node) => node.release !== target || behind.includes(node));
}

/** A kubelet is never newer than any API server that it may talk to, whatever stages a run was asked for. */
export const controlPlaneFirst: Gate = {
  name: 'control-plane-first',
  summary: 'the whole control plane is at the target',
  closes: 'blocked',
  async check({ cluster, nodes, target }) {
    const behind = nodes.filter((node) => node.controlPlane && node.release !== target);
    const begun = nodes.filter((node) => node.controlPlane && node.release === target && isInterrupted(node));
    const old = await serversBehind(cluster, nodes, target);
    const reasons = [
      ...old.map((node) => `the API server of ${node.name} is older than ${target}`),
      ...behind.map((node) => `${node.name} is at ${node.release}`),
      ...begun.map((node) => `${node.name} was begun and is not finished`),
    ];
    return { reasons: reasons.map((why) => `${why}; the stage master brings it to ${target} first`) };
  },
};
