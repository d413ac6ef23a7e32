import { parseRelease } from '../release.ts';
import type { Context } from '../upgrade/context.ts';
import { runUpgrade } from '../upgrade/run.ts';
import { clusterNode } from './cluster.ts';
import type { FakeCluster } from './fake-context.ts';

export const target = parseRelease('test', '1.34.5');
export const worker = clusterNode;

/** Runs to the end, with everything told. */
export async function run({ ctx }: { ctx: Context }) {
  const result = await runUpgrade(ctx);
  await ctx.report.flush();
  return result;
}

/** What is done to a node from its drain to its way back. */
export const upgraded = (node: string, role: 'master' | 'worker', after: string) => [
  `${node} cordon cordoned`,
  `${node} drain`,
  `${node} annotate touched`,
  `${node} update_k8s --role ${role} --release 1.34.5`,
  ...(after === 'soak'
    ? [`${node} uncordon cordoned- soaking`, `${node} annotate soaking-`]
    : [`${node} uncordon cordoned- soaking-`]),
];
export const snapshot = ['k8s-master snapshot before 1.34.5', 'journal snapshot /backup/new.db'];
export const cleared = (...nodes: string[]) => [
  'journal clear',
  ...nodes.map((node) => `${node} annotate touched-`),
];
export const effectsOn = (fake: FakeCluster, node: string) =>
  fake.effects.filter((effect) => effect.startsWith(`${node} `));
export const eventsOf = <T extends FakeCluster['events'][number]['type']>(fake: FakeCluster, type: T) =>
  fake.events.filter((event) => event.type === type) as Extract<FakeCluster['events'][number], { type: T }>[];
