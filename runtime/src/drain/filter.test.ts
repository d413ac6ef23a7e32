import { describe, expect, it, test } from 'vitest';
import { ownedBy, pod } from '../testing/cluster.ts';
import { judgePod } from './filter.ts';

const finished = { status: { phase: 'Succeeded' } };
const daemon = { metadata: { ownerReferences: [ownedBy('DaemonSet', 'agent')] } };
const mirror = {
  metadata: { ownerReferences: [ownedBy('Node')], annotations: { 'kubernetes.io/config.mirror': 'hash' } },
};
const both = { metadata: { ...daemon.metadata, annotations: mirror.metadata.annotations } };
const refused = new Error('read DaemonSet apps/agent: forbidden');

describe('kubectl drain --ignore-daemonsets --delete-emptydir-data --force', () => {
  const cases: [what: string, pod: object, daemonSet: boolean | Error, action: string][] = [
    ['a pod of a ReplicaSet', {}, false, 'evict'],
    ['a pod of a StatefulSet', { metadata: { ownerReferences: [ownedBy('StatefulSet')] } }, false, 'evict'],
    ['a pod of a Job', { metadata: { ownerReferences: [ownedBy('Job')] } }, false, 'evict'],
    ['a pod of a DaemonSet', daemon, true, 'skip'],
    ['a pod of a DaemonSet that is gone', daemon, false, 'evict'],
    ['a pod whose DaemonSet cannot be read (F30)', daemon, refused, 'refuse'],
    ['a finished pod of a DaemonSet', { ...daemon, ...finished }, true, 'evict'],
    ['a failed pod of a DaemonSet', { ...daemon, status: { phase: 'Failed' } }, refused, 'evict'],
    ['a static pod', mirror, false, 'skip'],
    ['a finished static pod', { ...mirror, ...finished }, false, 'skip'],
    ['a static pod of a DaemonSet that is gone', both, false, 'skip'],
    [
      'a pod that a DaemonSet owns but does not control',
      {
        metadata: { ownerReferences: [ownedBy('DaemonSet', 'agent', false)] },
      },
      true,
      'evict',
    ],
    [
      'a pod with an emptyDir',
      { spec: { containers: [], volumes: [{ name: 'v', emptyDir: {} }] } },
      false,
      'evict',
    ],
    ['a pod without a controller', { metadata: { ownerReferences: [] } }, false, 'evict'],
    [
      'a finished pod without a controller',
      { metadata: { ownerReferences: [] }, ...finished },
      false,
      'evict',
    ],
    ['a terminating pod', { metadata: { deletionTimestamp: new Date() } }, false, 'evict'],
  ];
  test.each(cases)('%s', (_what, change, daemonSet, action) => {
    expect(judgePod(pod('one', change), daemonSet).action).toBe(action);
  });

  it('says why it refuses', () => {
    expect(judgePod(pod('one', daemon), refused)).toEqual({ action: 'refuse', why: refused.message });
  });
});
