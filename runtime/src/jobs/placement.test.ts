import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { ClusterNode } from '../cluster/nodes.ts';
import { clusterNode, controlPlaneTaint } from '../testing/cluster.ts';
import { placeJob } from './placement.ts';

const gpu = { key: 'nvidia.com/gpu', value: 'present', effect: 'NoSchedule' };
const soft = { key: 'soft', value: '', effect: 'PreferNoSchedule' };
/** As in the deployed template, which tolerates the taint of control-plane nodes. */
const tolerations = [{ key: controlPlaneTaint.key, operator: 'Exists', effect: 'NoSchedule' }];

const master = clusterNode('master', { controlPlane: true, taints: [controlPlaneTaint] });
const [one, two, three] = [clusterNode('node1'), clusterNode('node2'), clusterNode('node3')];
const names = (nodes: readonly ClusterNode[]) => nodes.map((node) => node.name).join(' ');

describe('placing a Job', () => {
  const cases: [
    what: string,
    pending: ClusterNode[],
    upgraded: ClusterNode[],
    avoid: string | undefined,
    drains: string,
    prefers: string,
  ][] = [
    [
      'first Job: on the last node in the order, which it does not drain',
      [master, three, two, one],
      [],
      undefined,
      'master node3 node2',
      'node1',
    ],
    ['next Job: on any upgraded node', [one], [master, three, two], 'node1', 'node1', 'master node3 node2'],
    ['resumed: on the upgraded master only', [two, one], [master], undefined, 'node2 node1', 'master'],
    [
      'not on a tainted node (F4)',
      [master, two, clusterNode('gpu', { taints: [gpu] })],
      [],
      undefined,
      'master gpu',
      'node2',
    ],
    [
      'on a node with a soft taint',
      [master, clusterNode('soft', { taints: [soft] })],
      [],
      undefined,
      'master',
      'soft',
    ],
    [
      'not on a cordoned node',
      [master, two, clusterNode('c', { unschedulable: true })],
      [],
      undefined,
      'master c',
      'node2',
    ],
    [
      'not on a node that is not Ready',
      [master, two, clusterNode('n', { ready: false })],
      [],
      undefined,
      'master n',
      'node2',
    ],
    [
      'not on the node that hands over',
      [master, three, two, one],
      [],
      'node1',
      'master node3 node1',
      'node2',
    ],
    [
      'not on an upgraded node that is cordoned',
      [two, one],
      [{ ...master, unschedulable: true }],
      undefined,
      'node2',
      'node1',
    ],
  ];
  test.each(cases)('%s', (_what, pending, upgraded, avoid, drains, prefers) => {
    const placed = placeJob(pending, upgraded, tolerations, avoid);
    if ('reasons' in placed) throw new Error(placed.reasons.join('; '));
    expect([names(placed.drains), names(placed.prefers)]).toEqual([drains, prefers]);
  });

  it('gives a reason for every node when none can run the Job (F4)', () => {
    const pending = [
      master,
      clusterNode('gpu', { taints: [gpu] }),
      clusterNode('cordoned', { unschedulable: true }),
      clusterNode('down', { ready: false }),
      clusterNode('own'),
    ];
    expect(placeJob(pending, [], tolerations, 'own')).toEqual({
      reasons: [
        'master: the next Job drains it',
        'gpu: taint nvidia.com/gpu=present:NoSchedule',
        'cordoned: cordoned',
        'down: not Ready',
        'own: the next Job drains it',
      ],
    });
    expect(placeJob([master], [], tolerations)).toEqual({ reasons: ['master: the next Job drains it'] });
    expect(placeJob([one], [master], [])).toEqual({
      reasons: [
        'node1: the next Job drains it',
        'master: taint node-role.kubernetes.io/control-plane:NoSchedule',
      ],
    });
  });

  const taint = { key: 'k', value: 'v', effect: 'NoSchedule' };
  test.each([
    [{ key: 'k', operator: 'Exists' }, true],
    [{ key: 'k', operator: 'Exists', effect: 'NoSchedule' }, true],
    [{ key: 'k', operator: 'Exists', effect: 'NoExecute' }, false],
    [{ key: 'k', operator: 'Equal', value: 'v' }, true],
    [{ key: 'k', value: 'v' }, true],
    [{ key: 'k', value: 'w' }, false],
    [{ key: 'k' }, false],
    [{ key: 'l', operator: 'Exists' }, false],
    [{ operator: 'Exists' }, true],
    [{ operator: 'Exists', effect: 'NoExecute' }, false],
  ])('%j tolerates k=v:NoSchedule, as for the scheduler: %s', (toleration, tolerated) => {
    const placed = placeJob([master, clusterNode('n', { taints: [taint] })], [], [toleration]);
    expect('drains' in placed).toBe(tolerated);
  });
});

describe('in any cluster', () => {
  const nodeState = fc.record({
    upgraded: fc.boolean(),
    ready: fc.integer({ min: 0, max: 4 }).map((n) => n > 0),
    unschedulable: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
    taints: fc.subarray([gpu, soft]),
  });
  const cluster = fc
    .record({
      controlPlane: fc.array(nodeState, { minLength: 1, maxLength: 3 }),
      workers: fc.array(nodeState, { maxLength: 12 }),
      tolerant: fc.boolean(),
      /** Index of the node that runs the process that hands over; often undefined. */
      runner: fc.option(fc.nat(14), { nil: undefined }),
    })
    .map(({ controlPlane, workers, tolerant, runner }) => {
      const nodes = [
        ...controlPlane.map((state, n) => ({
          upgraded: state.upgraded,
          node: clusterNode(`master${n}`, {
            ...pick(state),
            controlPlane: true,
            taints: [controlPlaneTaint],
          }),
        })),
        ...workers.map((state, n) => ({
          upgraded: state.upgraded,
          node: clusterNode(`node${n}`, pick(state)),
        })),
      ];
      const pending = nodes.filter((one) => !one.upgraded).map((one) => one.node);
      const upgraded = nodes.filter((one) => one.upgraded).map((one) => one.node);
      const avoid = pending.find((_, n) => n === runner)?.name;
      return { pending, upgraded, avoid, tolerations: tolerant ? tolerations : [] };
    });
  const pick = ({
    ready,
    unschedulable,
    taints,
  }: {
    ready: boolean;
    unschedulable: boolean;
    taints: (typeof gpu)[];
  }) => ({
    ready,
    unschedulable,
    taints,
  });
  /** Whether the scheduler would assign a Job to this node, computed independently of the code under test. */
  const canRunJob = (node: ClusterNode, tolerant: boolean) =>
    node.ready &&
    !node.unschedulable &&
    node.taints.every((t) => t === soft || (t === controlPlaneTaint && tolerant));

  const runs = { numRuns: 500 };

  it('a Job never drains a node that it may run on (F1), and prefers only nodes that can run it (F4)', () => {
    let placedJobs = 0;
    fc.assert(
      fc.property(cluster, ({ pending, upgraded, avoid, tolerations }) => {
        const placed = placeJob(pending, upgraded, tolerations, avoid);
        if ('reasons' in placed) return;
        placedJobs += 1;
        const mayRunOn = [...pending, ...upgraded].filter((node) => !placed.drains.includes(node));
        expect(placed.prefers.length).toBeGreaterThan(0);
        for (const host of placed.prefers) {
          expect(mayRunOn).toContain(host);
          expect(canRunJob(host, tolerations.length > 0)).toBe(true);
        }
        // Wherever the Job runs, it does not drain that node.
        for (const host of mayRunOn) expect(placed.drains).not.toContain(host);
        expect(placed.drains.every((node) => pending.includes(node))).toBe(true);
      }),
      runs,
    );
    expect(placedJobs).toBeGreaterThan(200);
  });

  it('each Job upgrades the next node in the order and the node that handed over to it', () => {
    fc.assert(
      fc.property(cluster, ({ pending, upgraded, avoid, tolerations }) => {
        const placed = placeJob(pending, upgraded, tolerations, avoid);
        if ('reasons' in placed || pending.length === 0) return;
        expect(placed.drains).toContain(pending[0]);
        expect(pending.length - placed.drains.length).toBeLessThanOrEqual(1);
        if (avoid !== undefined) expect(names(placed.drains).split(' ')).toContain(avoid);
      }),
      runs,
    );
  });

  it('a Job is refused only when no node can run one that makes progress, with a reason for each node (F4)', () => {
    fc.assert(
      fc.property(cluster, ({ pending, upgraded, avoid, tolerations }) => {
        const placed = placeJob(pending, upgraded, tolerations, avoid);
        const [first, ...later] = pending;
        const could = [...upgraded, ...later.filter((node) => node.name !== avoid)].some((node) =>
          canRunJob(node, tolerations.length > 0),
        );
        expect('drains' in placed).toBe(could);
        if (!('reasons' in placed)) return;
        const named = placed.reasons.map((reason) => reason.split(':')[0]);
        expect(named).toEqual([...(first ? [first] : []), ...upgraded, ...later].map((node) => node.name));
      }),
      runs,
    );
  });

  it('a run upgrades all nodes within a bounded number of Jobs, or is refused', () => {
    fc.assert(
      fc.property(cluster, ({ pending: all, upgraded: before, tolerations }) => {
        let pending = all;
        const upgraded = [...before];
        let avoid: string | undefined;
        for (let jobNumber = 1; pending.length > 0; jobNumber++) {
          expect(jobNumber).toBeLessThanOrEqual(all.length + 1);
          const placed = placeJob(pending, upgraded, tolerations, avoid);
          if ('reasons' in placed) return;
          const host = placed.prefers[0];
          upgraded.push(...placed.drains);
          pending = pending.filter((node) => !placed.drains.includes(node));
          avoid = pending.find((node) => node === host)?.name;
        }
      }),
      runs,
    );
  });
});
