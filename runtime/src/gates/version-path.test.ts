import { expect, test } from 'vitest';
import { parseRelease } from '../release.ts';
import { clusterNode } from '../testing/cluster.ts';
import { checkOneGate } from '../testing/gate-context.ts';
import { versionPath } from './version-path.ts';

const cases: [what: string, kubelet: string, server: string, to: string, reasons: string[]][] = [
  ['a kubelet as old as the API server', '1.34.4', '1.34.4', '1.34.5', []],
  ['a kubelet that joined at the target, ahead of the API server', '1.34.5', '1.34.4', '1.34.5', []],
  ['one that joined ahead, with a later target', '1.34.5', '1.34.4', '1.34.6', []],
  ['one that joined ahead, with a target in the next minor', '1.34.5', '1.34.4', '1.35.3', []],
  ['a kubelet of the minor before', '1.33.9', '1.34.4', '1.34.5', []],
  [
    'a kubelet past the target',
    '1.34.6',
    '1.34.4',
    '1.34.5',
    ['kubelet 1.34.6 of k8s-node1 is newer than 1.34.5'],
  ],
  [
    'a kubelet of a newer minor, though the target has that minor',
    '1.35.1',
    '1.34.4',
    '1.35.3',
    ['kubelet 1.35.1 of k8s-node1 is of a newer minor than the API server 1.34.4'],
  ],
  [
    'a kubelet two minors behind',
    '1.32.4',
    '1.34.4',
    '1.34.5',
    ['kubelet 1.32.4 of k8s-node1 is more than one minor behind 1.34.5'],
  ],
];
test.each(cases)('version-path: %s', async (_what, kubelet, server, to, reasons) => {
  const nodes = [
    clusterNode('k8s-master', { controlPlane: true, release: parseRelease('test', server) }),
    clusterNode('k8s-node1', { release: parseRelease('test', kubelet) }),
  ];
  expect((await checkOneGate(versionPath, { nodes, server, to })).reasons).toEqual(reasons);
});
