import {
  controlPlanePods,
  flagValues,
  ownComponents,
  ownContainer,
} from '../../cluster/control-plane-pods.ts';
import { podName } from '../../cluster/pods.ts';
import { minorOf, type Release } from '../../release.ts';
import type { GateContext } from '../gate.ts';
import { beforeMinor, isCrossed } from './before-minor.ts';
import { type Found, gatesOf, nodeFacts } from './node-facts.ts';
import { featureGatePage, type RemovedName, removedFeatureGates, removedKubeletFlags } from './tables.ts';

/** Compares the flags and feature gates that are set with the tables of removed ones. */
export const removedFlags = beforeMinor({
  name: 'removed-flags',
  summary: 'the target knows every kubelet flag and feature gate that is set',
  scope: 'nodes',
  async check(ctx) {
    const [facts, controlPlane] = await Promise.all([nodeFacts(ctx), featureGatesOfControlPlane(ctx)]);
    const ofNodes = [...facts].flatMap(([{ name, release }, { flags, featureGates }]) => [
      ...gone(removedKubeletFlags, flags, release, ctx.target)
        .filter(({ row, found }) => row.cleanedFrom !== found.file)
        .map(({ row, found }) => describe(`the flag ${row.name} in ${found.file} of ${name}`, row)),
      ...gone(removedFeatureGates, featureGates, release, ctx.target).map(({ row, found }) =>
        describe(`the feature gate ${row.name} in ${found.file} of ${name}`, row),
      ),
    ]);
    const ofPods = gone(removedFeatureGates, controlPlane, ctx.server, ctx.target).map(({ row, found }) =>
      describe(`the feature gate ${row.name} of ${found.file}`, row),
    );
    const set = [...controlPlane, ...[...facts.values()].flatMap(({ featureGates }) => featureGates)];
    return { reasons: [...new Set([...ofPods, ...ofNodes])], notes: unlisted(set, ctx.target) };
  },
});

/** A gate without a row is only noted: most such gates stay, and the table may be older than the target. */
function unlisted(set: readonly Found[], target: Release): string[] {
  const names = set.map(({ name }) => name).filter((name) => !isListed(name));
  if (names.length === 0) return [];
  const list = [...new Set(names)].sort().join(', ');
  return [
    `whether ${minorOf(target)} still has the feature gate ${list} is not known here; look it up: ${featureGatePage}`,
  ];
}

/** AllAlpha and AllBeta stand for groups of gates; every release has them. */
const isListed = (name: string): boolean =>
  ['AllAlpha', 'AllBeta'].includes(name) || removedFeatureGates.some((row) => row.name === name);

const describe = (what: string, { removedIn, source }: RemovedName) =>
  `${what} is gone in ${removedIn}, and the component does not start with it; remove it first (${source})`;

/** Everything that is set and removed between these two releases, with its row. */
function gone<R extends RemovedName>(rows: readonly R[], set: readonly Found[], from: Release, to: Release) {
  return set.flatMap((found) =>
    rows
      .filter((row) => row.name === found.name && isCrossed(row.removedIn, from, to))
      .map((row) => ({ row, found })),
  );
}

/**
 * The feature gates of the control-plane components, read from their mirror pods. Every other container has
 * gates of its own: etcd is started with `--feature-gates=InitialCorruptCheck=true` by kubeadm 1.34.
 */
async function featureGatesOfControlPlane({ cluster, nodes }: GateContext): Promise<Found[]> {
  const pods = controlPlanePods(await cluster.pods(), nodes, ownComponents);
  return pods.flatMap((pod) => {
    const values = flagValues(ownContainer(pod) ?? { name: '' }, 'feature-gates');
    return values.flatMap((value) => gatesOf({ name: '--feature-gates', value, file: podName(pod) }));
  });
}
