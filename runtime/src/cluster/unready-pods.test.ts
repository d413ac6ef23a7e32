import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, it, test } from 'vitest';
import { ownedBy, pod } from '../testing/cluster.ts';
import { describeUnready, isUnready, someOf, unreadySince, workloadOf } from './unready-pods.ts';

const status = (phase: string, ready: 'True' | 'False', change: V1Pod['status'] = {}): V1Pod['status'] => ({
  phase,
  conditions: [{ type: 'Ready', status: ready }],
  ...change,
});
const job = { restartPolicy: 'Never', containers: [] };

describe('a pod that should be Ready and is not', () => {
  const cases: [what: string, given: V1Pod, unready: boolean][] = [
    ['a Ready one', pod('a', { status: status('Running', 'True') }), false],
    ['one whose readiness probe fails', pod('a', { status: status('Running', 'False') }), true],
    ['one without conditions', pod('a'), true],
    ['one that waits for its volume', pod('a', { status: status('Pending', 'False') }), true],
    ['a finished one', pod('a', { status: status('Succeeded', 'False') }), false],
    ['one that is being deleted', pod('a', { metadata: { deletionTimestamp: new Date() } }), false],
    [
      'one of a Job, with a container that has ended',
      pod('a', { spec: job, status: status('Running', 'False') }),
      false,
    ],
    ['one of a Job, without its image', pod('a', { spec: job, status: status('Pending', 'False') }), true],
  ];
  test.each(cases)('%s', (_what, given, unready) => {
    expect(isUnready(given)).toBe(unready);
  });

  it('is so since its condition changed, or since it was created', () => {
    const creationTimestamp = new Date(1_000);
    const conditions = [{ type: 'Ready', status: 'False', lastTransitionTime: new Date(2_000) }];
    expect(unreadySince(pod('a', { metadata: { creationTimestamp }, status: { conditions } }))).toBe(2_000);
    expect(unreadySince(pod('a', { metadata: { creationTimestamp } }))).toBe(1_000);
  });
});

test.each([
  ['a Deployment', 'ReplicaSet', 'web-5d8f', { 'pod-template-hash': '5d8f' }, 'apps/Deployment/web'],
  ['a ReplicaSet of nobody', 'ReplicaSet', 'web', {}, 'apps/ReplicaSet/web'],
  ['a CronJob', 'Job', 'backup-28923840', {}, 'apps/Job/backup'],
  ['a DaemonSet', 'DaemonSet', 'cni', {}, 'apps/DaemonSet/cni'],
])('the workload of a pod of %s outlives it', (_what, kind, name, labels, workload) => {
  expect(workloadOf(pod('a', { metadata: { labels, ownerReferences: [ownedBy(kind, name)] } }))).toBe(
    workload,
  );
});

it('a static pod and one without a controller are their own workload', () => {
  expect(workloadOf(pod('a', { metadata: { ownerReferences: [] } }))).toBe('apps/Pod/a');
  const annotations = { 'kubernetes.io/config.mirror': 'x' };
  expect(workloadOf(pod('a', { metadata: { annotations, ownerReferences: [ownedBy('Node', 'n')] } }))).toBe(
    'apps/Pod/a',
  );
});

it('a description says what a container waits for, or the phase; a list names five at most', () => {
  const waiting = {
    name: 'c',
    image: 'i',
    imageID: '',
    ready: false,
    restartCount: 0,
    state: { waiting: { reason: 'ImagePullBackOff' } },
  };
  expect(
    describeUnready(pod('a', { status: status('Pending', 'False', { containerStatuses: [waiting] }) })),
  ).toBe('apps/a (ImagePullBackOff)');
  expect(describeUnready(pod('a', { status: status('Pending', 'False') }))).toBe('apps/a (Pending)');
  expect(describeUnready(pod('a', { status: status('Running', 'False') }))).toBe('apps/a (not Ready)');
  expect(someOf(['1', '2', '3', '4', '5'])).toBe('1, 2, 3, 4, 5');
  expect(someOf(['1', '2', '3', '4', '5', '6', '7'])).toBe('1, 2, 3, 4, 5 and 2 more');
});
