import { parseRelease } from '../release.ts';
import type { Context } from '../upgrade/context.ts';
import { runUpgrade } from '../upgrade/run.ts';
import { clusterNode } from './cluster.ts';
import type { FakeCluster } from './fake-context.ts';

/** The default target of a fake run. */
export const target = parseRelease('test', '1.34.5');
/** A worker. */
export const worker = clusterNode;

/** Runs to the end and waits until every event is handled. */
export async function run({ ctx }: { ctx: Context }) {
  const result = await runUpgrade(ctx);
  await ctx.report.flush();
  return result;
}

/** The effect of preparing a node that has this role in the cluster. */
export const prepared = (node: string, role: 'master' | 'worker') =>
  `${node} prepare --role ${role} --release 1.34.5`;

/** The effect of both steps of the script in one, on a node that was drained first. */
export const inOne = (node: string, role: 'master' | 'worker') =>
  `${node} update_k8s --role ${role} --release 1.34.5${role === 'master' ? ' --planned' : ''}`;

/** The effect of kubeadm's step. */
export const kubeadmStep = (node: string, role: 'master' | 'worker') =>
  `${node} update_k8s --role ${role} --release 1.34.5 --steps kubeadm${role === 'master' ? ' --planned' : ''}`;

/** The effect of the kubelet's step. */
export const kubeletStep = (node: string, role: 'master' | 'worker') =>
  `${node} update_k8s --role ${role} --release 1.34.5 --steps kubelet`;

/** The effects of both steps, without the drain between them. */
export const bothSteps = (node: string, role: 'master' | 'worker') => [
  kubeadmStep(node, role),
  kubeletStep(node, role),
];

/** The effects of upgrading one node, from its preparation to its uncordon or, with `soak`, its soak. */
export const upgraded = (node: string, role: 'master' | 'worker', after: string) => [
  prepared(node, role),
  `${node} annotate touched daemon-sets unfinished`,
  kubeadmStep(node, role),
  `${node} cordon cordoned`,
  `${node} drain`,
  `${node} annotate unfinished-`,
  kubeletStep(node, role),
  ...(after === 'soak'
    ? [`${node} uncordon cordoned- soaking`, `${node} annotate soaking-`]
    : [`${node} uncordon cordoned- soaking-`]),
];
/** The effects of the stage snapshot. */
export const snapshot = ['k8s-master snapshot before 1.34.5', 'journal snapshot /backup/new.db'];
/** The effects of clearing the annotations of a rollout that has changed these nodes. */
export const cleared = (...nodes: string[]) => [
  'journal clear',
  ...nodes.map((node) => `${node} annotate touched- daemon-sets-`),
];
/** The effects on one node. */
export const effectsOn = (fake: FakeCluster, node: string) =>
  fake.effects.filter((effect) => effect.startsWith(`${node} `));
/** The events of one type. */
export const eventsOf = <T extends FakeCluster['events'][number]['type']>(fake: FakeCluster, type: T) =>
  fake.events.filter((event) => event.type === type) as Extract<FakeCluster['events'][number], { type: T }>[];
