import type { ClusterNode } from '../cluster/nodes.ts';
import { compareReleases, minorsBetween, newest } from '../release.ts';
import { releasesOf } from '../rollout/remaining.ts';
import type { Gate } from './gate.ts';

/**
 * A kubelet may be some patches ahead of the API server, as on a node that joined late; upgrading to its
 * release or beyond ends that. It must not be of a newer minor. While only some control-plane nodes are
 * upgraded, an old API server may answer. So a kubelet is compared with the newest of that one and, by their
 * images, the API server on the same node or, for a worker, all of them.
 */
export const versionPath: Gate = {
  name: 'version-path',
  summary: 'no version is newer than the target or too far behind it',
  outcomeWhenClosed: 'blocked',
  async check({ cluster, nodes, server, target }) {
    const servers = releasesOf(await cluster.apiServers());
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
