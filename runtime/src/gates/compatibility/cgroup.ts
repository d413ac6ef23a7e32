import type { Settings } from '../../settings/settings.ts';
import { beforeMinor, isCrossed } from './before-minor.ts';
import { type NodeFacts, nodeFacts } from './node-facts.ts';
import { cgroupV1Refused } from './tables.ts';

/** A node on cgroup v1 passes only if both its kubelet and kubeadm are configured to accept it. */
export const cgroupGate = beforeMinor({
  name: 'cgroup',
  summary: `no node runs cgroup v1, which the kubelet refuses from ${cgroupV1Refused.from} on`,
  scope: 'nodes',
  async check(ctx) {
    if (!ctx.nodes.some(({ release }) => isCrossed(cgroupV1Refused.from, release, ctx.target)))
      return { reasons: [] };
    const behind = [...(await nodeFacts(ctx))].filter(([, facts]) => facts.cgroup === 'v1');
    const judged = behind.map(([{ name }, facts]) => ({ name, why: whyNot(facts, ctx.settings) }));
    return {
      reasons: judged.flatMap(({ name, why }) =>
        why === undefined ? [] : [`${name} runs cgroup v1: ${why}`],
      ),
      notes: judged
        .filter(({ why }) => why === undefined)
        .map(
          ({ name }) =>
            `${name} runs cgroup v1, which its configuration still allows; a later release removes it`,
        ),
    };
  },
});

/** Two programs refuse cgroup v1: the kubelet, by its configuration, and kubeadm, by a preflight check. */
function whyNot({ failCgroupV1 }: NodeFacts, { kubeadm }: Settings): string | undefined {
  const { from, source } = cgroupV1Refused;
  if (failCgroupV1 !== false) {
    return `the kubelet of ${from} does not start there; boot the node with cgroup v2, or set failCgroupV1: false in the ConfigMap kube-system/kubelet-config and the node’s config.yaml (${source})`;
  }
  const ignored = kubeadm.ignorePreflightErrors.map((word) => word.toLowerCase());
  if (ignored.includes('systemverification') || ignored.includes('all')) return undefined;
  return `failCgroupV1 is false, but kubeadm of ${from} still refuses; add SystemVerification to kubeadm.ignorePreflightErrors (${source})`;
}
