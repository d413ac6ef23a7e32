import type { V1Node } from '@kubernetes/client-node';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { InputError } from '../errors.ts';
import { annotationKeys } from '../names.ts';
import { annotationsReader } from '../rollout/node-annotations.ts';
import { clusterNode } from '../testing/cluster.ts';
import { inFlightSince } from '../testing/fake-context.ts';
import { inOrder, readNode, timeOf } from './nodes.ts';

const prefix = 'example.com';
const keys = annotationKeys(prefix);

interface Change {
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly spec?: V1Node['spec'];
  readonly addresses?: { type: string; address: string }[];
  readonly kubelet?: string;
  readonly runtime?: string;
  readonly conditions?: NonNullable<NonNullable<V1Node['status']>['conditions']>;
}

const v1Node = (change: Change = {}): V1Node => ({
  metadata: { name: 'k8s-node1', labels: change.labels ?? {}, annotations: change.annotations ?? {} },
  ...(change.spec && { spec: change.spec }),
  status: {
    addresses: change.addresses ?? [
      { type: 'Hostname', address: 'k8s-node1' },
      { type: 'ExternalIP', address: '192.0.2.1' },
      { type: 'InternalIP', address: '10.0.0.1' },
    ],
    conditions: change.conditions ?? [{ type: 'Ready', status: 'True' }],
    nodeInfo: {
      kubeletVersion: change.kubelet ?? 'v1.34.2',
      containerRuntimeVersion: change.runtime ?? 'containerd://1.7.24',
    } as NonNullable<V1Node['status']>['nodeInfo'] & object,
  },
});
const startedAt = Date.parse('2026-01-04T11:00:00Z');
const inFlight = inFlightSince(startedAt);
const read = (change?: Change) => readNode(v1Node(change), annotationsReader(prefix, inFlight));

describe('reading a node', () => {
  it('reads what is there and uses defaults for the rest', () => {
    expect(read()).toEqual({
      name: 'k8s-node1',
      address: '10.0.0.1',
      controlPlane: false,
      release: '1.34.2',
      containerd: '1.7.24',
      ready: true,
      readySince: 0,
      reportedAt: 0,
      pressures: [],
      unschedulable: false,
      cordonedByUs: false,
      cordonedEarlier: false,
      changedAt: undefined,
      daemonSets: [],
      unfinished: false,
      kubeadmOnly: false,
      soakingSince: undefined,
      stale: [],
      taints: [],
      labels: {},
    });
  });

  test.each([
    ['node-role.kubernetes.io/control-plane', true],
    ['node-role.kubernetes.io/master', true],
    ['node-role.kubernetes.io/worker', false],
  ])('with label %s makes it a control-plane node: %s', (label, controlPlane) => {
    expect(read({ labels: { [label]: '' } }).controlPlane).toBe(controlPlane);
  });

  test.each([
    ['containerd://1.7.24', '1.7.24'],
    ['containerd://v2.1.0', '2.1.0'],
    ['containerd://2.1.0-rc.1', '2.1.0'],
    ['cri-o://1.30.0', undefined],
    ['', undefined],
  ])('with runtime %s finds containerd %s', (runtime, containerd) => {
    expect(read({ runtime }).containerd).toBe(containerd);
  });

  it('tells a rollout’s cordon from a person’s (F11)', () => {
    const spec = { unschedulable: true };
    expect(read({ spec })).toMatchObject({ unschedulable: true, cordonedByUs: false });
    expect(read({ spec, annotations: { [keys.cordoned]: inFlight.started } }).cordonedByUs).toBe(true);
    const other = annotationKeys('other.example').cordoned;
    expect(read({ spec, annotations: { [other]: inFlight.started } }).cordonedByUs).toBe(false);
  });

  it('reads annotations, conditions and taints', () => {
    const since = '2026-01-04T12:00:00Z';
    const node = read({
      annotations: { [keys.changed]: since, [keys.soaking]: 'nonsense' },
      spec: { taints: [{ key: 'k', effect: 'NoSchedule' }] },
      conditions: [
        {
          type: 'Ready',
          status: 'Unknown',
          lastTransitionTime: new Date(since),
          lastHeartbeatTime: new Date('2026-01-04T12:00:10Z'),
        },
        { type: 'DiskPressure', status: 'True' },
        { type: 'MemoryPressure', status: 'False' },
        { type: 'FrequentUnregisterNetDevice', status: 'True' },
      ],
    });
    expect(node).toMatchObject({
      changedAt: Date.parse(since),
      soakingSince: undefined,
      ready: false,
      readySince: Date.parse(since),
      reportedAt: Date.parse(since) + 10_000,
      pressures: ['DiskPressure'],
      taints: [{ key: 'k', value: '', effect: 'NoSchedule' }],
    });
  });

  const cases: [what: string, change: Change, message: string][] = [
    [
      'no InternalIP (F25)',
      { addresses: [{ type: 'Hostname', address: 'k8s-node1' }] },
      'node k8s-node1 status.addresses: "Hostname=k8s-node1" is not allowed; expected an InternalIP',
    ],
    ['no address (F25)', { addresses: [] }, 'node k8s-node1 status.addresses: "no address"'],
    [
      'a pre-release',
      { kubelet: 'v1.35.0-rc.1' },
      'node k8s-node1 kubeletVersion: "v1.35.0-rc.1" is not allowed',
    ],
    ['no version', { kubelet: '' }, 'node k8s-node1 kubeletVersion: ""'],
  ];
  test.each(cases)('rejects %s', (_what, change, message) => {
    expect(() => read(change)).toThrow(InputError);
    expect(() => read(change)).toThrow(message);
  });

  test.each([
    ['2026-01-04T12:00:00.000Z', Date.UTC(2026, 0, 4, 12)],
    ['2026-01-04T13:00:00+01:00', Date.UTC(2026, 0, 4, 12)],
    ['yesterday', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('parses the time %s as %s', (text, time) => {
    expect(timeOf(text)).toBe(time);
  });
});

describe('the order of a rollout', () => {
  const nodes = ['k8s-node10', 'k8s-node2', 'k8s-master2', 'k8s-node1', 'k8s-master'].map((name) =>
    clusterNode(name, { controlPlane: name.includes('master') }),
  );
  const order = (controlPlane: string[], workers: string[]) =>
    inOrder(nodes, { controlPlane, workers }).map((node) => node.name.replace('k8s-', ''));

  test.each([
    ['no node is listed', [], [], ['master', 'master2', 'node1', 'node2', 'node10']],
    [
      'all nodes are listed',
      ['k8s-master2', 'k8s-master'],
      ['k8s-node2', 'k8s-node1', 'k8s-node10'],
      ['master2', 'master', 'node2', 'node1', 'node10'],
    ],
    [
      'some are listed: the others come last, by number (F26)',
      [],
      ['k8s-node10'],
      ['master', 'master2', 'node10', 'node1', 'node2'],
    ],
    [
      'an absent node is listed',
      ['gone'],
      ['gone', 'k8s-node2'],
      ['master', 'master2', 'node2', 'node1', 'node10'],
    ],
    [
      'a node is listed in the wrong group',
      ['k8s-node1'],
      [],
      ['master', 'master2', 'node1', 'node2', 'node10'],
    ],
  ])('is right when %s', (_what, controlPlane, workers, expected) => {
    expect(order(controlPlane, workers)).toEqual(expected);
  });

  it('never skips or repeats a node, and the control plane comes first (F26)', () => {
    const names = nodes.map((node) => node.name);
    fc.assert(
      fc.property(
        fc.subarray(names),
        fc.shuffledSubarray(names),
        fc.shuffledSubarray(nodes),
        (cp, workers, given) => {
          const ordered = inOrder(given, { controlPlane: cp, workers });
          expect(new Set(ordered)).toEqual(new Set(given));
          expect(ordered).toHaveLength(given.length);
          const firstWorker = ordered.findIndex((node) => !node.controlPlane);
          if (firstWorker >= 0)
            expect(ordered.slice(firstWorker).some((node) => node.controlPlane)).toBe(false);
        },
      ),
    );
  });
});
