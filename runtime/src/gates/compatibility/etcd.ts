import type { V1Pod } from '@kubernetes/client-node';
import semver from 'semver';
import { controlPlanePods, ownContainer, tagOf } from '../../cluster/control-plane-pods.ts';
import { podName } from '../../cluster/pods.ts';
import { UpgradeError } from '../../errors.ts';
import type { GateContext } from '../gate.ts';
import { beforeMinor } from './before-minor.ts';
import { type EtcdEdge, etcdEdges } from './tables.ts';

/** One member, or the external etcd of the settings. */
interface Member {
  /** Its pod, `namespace/name`, or the setting. */
  readonly who: string;
  /** `3.5.24`. */
  readonly version: string;
}

/** Compares the version of each etcd member, from its image, with `etcdEdges`. */
export const etcdGate = beforeMinor({
  name: 'etcd',
  summary: 'every etcd member is new enough for the etcd release that the target brings',
  scope: 'control plane',
  async check(ctx) {
    const edges = etcdEdges.filter(({ from }) => semver.gte(ctx.target, `${from}.0`));
    if (edges.length === 0) return { reasons: [] };
    const members = await membersOf(ctx);
    return { reasons: members.flatMap((member) => edges.flatMap((edge) => whyNot(member, edge))) };
  },
});

/** @throws UpgradeError when a version is unknown. */
async function membersOf({ cluster, nodes, settings }: GateContext): Promise<Member[]> {
  const pods = controlPlanePods(await cluster.pods(), nodes, ['etcd']);
  if (pods.length > 0) return pods.map((pod) => ({ who: podName(pod), version: versionOf(pod) }));
  const version = settings.gates.externalEtcdVersion;
  if (version !== undefined) return [{ who: 'the external etcd (gates.externalEtcdVersion)', version }];
  throw new UpgradeError(
    'blocked',
    'no control-plane node runs etcd as its static pod kube-system/etcd-NODE; run etcdctl endpoint status on each member of an external etcd, and set gates.externalEtcdVersion to the oldest version',
  );
}

/** `registry.k8s.io/etcd:3.5.24-0` → `3.5.24`. */
function versionOf(pod: V1Pod): string {
  const image = ownContainer(pod)?.image ?? 'no image of a container etcd';
  const version = /^v?(\d+\.\d+\.\d+)(?![\w.])/.exec(tagOf(image) ?? '')?.[1];
  if (version !== undefined) return version;
  throw new UpgradeError(
    'blocked',
    `${podName(pod)}: ${image} does not show the version of etcd; use a tag that does`,
  );
}

function whyNot({ who, version }: Member, { from, brings, minimum, source }: EtcdEdge): string[] {
  if (semver.gte(version, `${brings}.0`) || semver.gte(version, minimum)) return [];
  return [
    `${who} is etcd ${version}; ${from} brings ${brings}, and only ${minimum} or newer upgrades to it safely. Upgrade to the newest patch of the current minor first, or set etcd.local.imageTag in kubeadm-config (${source})`,
  ];
}
