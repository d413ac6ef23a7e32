import type { V1CronJob, V1Job } from '@kubernetes/client-node';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { ClusterNode } from '../../runtime/src/cluster/nodes.ts';
import { type JobPorts, submitJob } from '../../runtime/src/jobs/next-job.ts';
import { objectNames } from '../../runtime/src/names.ts';
import { parseRelease } from '../../runtime/src/release.ts';
import { clusterNode, controlPlaneTaint } from '../../runtime/src/testing/cluster.ts';
import { fakeContext } from '../../runtime/src/testing/fake-context.ts';
import { runUpgrade } from '../../runtime/src/upgrade/run.ts';
import { nodeAccepts } from '../lab/api/controllers/placement.ts';
import type { Node, PodSpec } from '../lab/api/types.ts';
import { labObjects } from '../lab/stack.ts';

/**
 * Whole runs over random clusters, Job by Job: the executor in memory, the scheduler of the lab, the Job of
 * the deployed template.
 */

const target = parseRelease('test', '1.34.5');
const template = labObjects({
  prometheus: { url: 'http://127.0.0.1:9' },
  pushgateway: { url: 'http://127.0.0.1:9' },
}).find(
  ({ kind, metadata }) => kind === 'CronJob' && metadata?.name === objectNames.executionCronJob,
) as V1CronJob;

const gpu = { key: 'nvidia.com/gpu', value: 'present', effect: 'NoSchedule' };
const evicting = { key: 'maintenance', value: '', effect: 'NoExecute' };

const nodeState = fc.record({
  upgraded: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
  unschedulable: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
  taints: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.subarray([gpu, evicting])),
});
type NodeState = typeof nodeState extends fc.Arbitrary<infer T> ? T : never;

const made = (name: string, { upgraded, ...state }: NodeState, change: Partial<ClusterNode> = {}) =>
  clusterNode(name, { ...state, ...(upgraded && { release: target }), ...change });

const anyCluster = fc
  .record({
    controlPlane: fc.array(nodeState, { minLength: 1, maxLength: 3 }),
    // Small ones are where a Job may find no place.
    workers: fc.oneof(fc.array(nodeState, { maxLength: 2 }), fc.array(nodeState, { maxLength: 12 })),
    /** As in clusters whose control plane takes ordinary pods. */
    open: fc.boolean(),
  })
  .map(({ controlPlane, workers, open }) => [
    ...controlPlane.map((state, n) =>
      made(`master${n}`, state, {
        controlPlane: true,
        address: `10.0.1.${n}`,
        taints: [...state.taints, ...(open ? [] : [controlPlaneTaint])],
      }),
    ),
    ...workers.map((state, n) => made(`node${n}`, state)),
  ]);

/** As the API shows it. */
const nodeObject = ({ name, labels, taints, unschedulable }: ClusterNode) =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels },
    spec: { taints: [...taints], unschedulable },
  }) as unknown as Node;

interface End {
  readonly outcome: string;
  readonly message: string;
  readonly nodes: readonly ClusterNode[];
  readonly jobs: number;
}

/** @param pick which of the nodes that would take a Job gets it: a preference is only that. */
async function play(cluster: readonly ClusterNode[], pick: (count: number) => number): Promise<End> {
  let nodes = [...cluster];
  let host: string | undefined;
  let avoid: string | undefined;
  for (let jobNumber = 1; ; jobNumber += 1) {
    expect(jobNumber).toBeLessThanOrEqual(cluster.length + 2);
    const placed = await submit(nodes, jobNumber, avoid).catch((error: Error) => error);
    if (placed instanceof Error)
      return { outcome: 'refused', message: placed.message, nodes, jobs: jobNumber };
    const spec = placed.spec?.template.spec as unknown as PodSpec;
    const fitting = nodes.filter((node) => nodeAccepts(spec, nodeObject(node)) === undefined);
    // A Job that is submitted is one that a node takes.
    expect(fitting.length, JSON.stringify(nodes)).toBeGreaterThan(0);
    host = fitting[pick(fitting.length)]?.name;
    avoid = undefined;
    const { ctx, fake } = fakeContext({
      nodes,
      // With a node at the target, this is a rollout that was interrupted after its first one.
      ...(nodes.some(({ release }) => release === target) && { server: target }),
      ...(host !== undefined && { ownNode: host }),
      ...(jobNumber > 1 && { inFlight: {} }),
      settings: { nodes: {}, timing: { soak: '0s', nodeReady: '50ms' }, gates: { alertInterval: '1ms' } },
    });
    fake.onDrain = async (node) => expect(node, `drained under Job ${jobNumber}`).not.toBe(host);
    const startNextJob = async (own: string) => {
      expect(own).toBe(host);
      // When no node can run the next Job, this one ends with that error.
      await submit(fake.nodes, jobNumber + 1, own);
      avoid = own;
      return 'next';
    };
    const { outcome, message, handedOff } = await runUpgrade({ ...ctx, startNextJob });
    nodes = [...fake.nodes];
    if (handedOff !== true) return { outcome, message, nodes, jobs: jobNumber };
  }
}

async function submit(nodes: readonly ClusterNode[], jobNumber: number, avoid?: string): Promise<V1Job> {
  const ports = {
    client: {
      call: (_what: string, request: () => unknown) => request(),
      batch: { readNamespacedCronJob: () => template },
    },
    cluster: { nodes: async () => nodes, serverRelease: async () => target, apiServers: async () => [] },
    writer: { createJob: async (job: V1Job) => job },
    namespace: objectNames.namespace,
  } as unknown as JobPorts;
  const request = { target, kind: 'patch' as const, dryRun: false, stages: [] };
  return submitJob(ports, request, 'run', jobNumber, avoid);
}

it('in any cluster every node is drained by a Job that runs elsewhere, or the run ends with the reason of each node (F1, F4)', async () => {
  const ends = new Map<string, number>();
  let mostJobs = 0;
  await fc.assert(
    fc.asyncProperty(anyCluster, fc.infiniteStream(fc.nat()), async (cluster, numbers) => {
      const pick = (count: number) => (numbers.next().value ?? 0) % count;
      const { outcome, message, nodes, jobs } = await play(cluster, pick);
      ends.set(outcome, (ends.get(outcome) ?? 0) + 1);
      mostJobs = Math.max(mostJobs, jobs);
      if (outcome === 'done') {
        expect(nodes.filter((node) => node.release !== target)).toEqual([]);
        // A person's cordons are as they were.
        expect(nodes.map((node) => node.unschedulable)).toEqual(cluster.map((node) => node.unschedulable));
        return;
      }
      expect(message).toContain('no node can run the next Job');
      for (const { name } of nodes) expect(message).toContain(`${name}: `);
      expect(nodes.every((node) => !node.cordonedByUs)).toBe(true);
    }),
    { numRuns: 200 },
  );
  // Both ends were seen, and runs of several Jobs.
  expect(ends.get('done')).toBeGreaterThan(60);
  expect((ends.get('refused') ?? 0) + (ends.get('blocked') ?? 0)).toBeGreaterThan(3);
  expect(mostJobs).toBeGreaterThan(1);
});
