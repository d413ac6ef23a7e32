import { expect, it } from 'vitest';
import { parseRelease } from '../release.ts';
import { packageNames } from '../releases/packages.ts';
import { clusterNode } from '../testing/cluster.ts';
import { checkOneGate } from '../testing/gate-context.ts';
import { packagesGate } from './packages.ts';

const published = ['1.34.2', '1.34.5', '1.34.10', '1.35.3'];

it('is open for a release that the repository has, patch or minor', async () => {
  expect(await checkOneGate(packagesGate, { from: '1.34.2', to: '1.34.5', published })).toMatchObject({
    open: true,
  });
  expect(await checkOneGate(packagesGate, { from: '1.34.2', to: '1.35.3', published })).toMatchObject({
    open: true,
  });
});

it('is closed for a release that the repository lacks, and names its newest', async () => {
  const { open, outcomeWhenClosed, reasons } = await checkOneGate(packagesGate, {
    from: '1.34.2',
    to: '1.34.11',
    published,
  });
  expect({ open, outcomeWhenClosed }).toEqual({ open: false, outcomeWhenClosed: 'blocked' });
  expect(reasons).toEqual(['the package repository for v1.34 has no kubeadm 1.34.11; its newest is 1.34.10']);
});

it('is closed for a minor without a repository', async () => {
  const { reasons } = await checkOneGate(packagesGate, { from: '1.35.3', to: '1.36.1', published });
  expect(reasons).toEqual(['there is no package repository for v1.36']);
});

const partly = (names: readonly (typeof packageNames)[number][], ...architectures: string[]) =>
  names.flatMap((name) =>
    architectures.map((architecture) => ({
      ...{ name, architecture, filename: '' },
      release: parseRelease('test', '1.34.12'),
    })),
  );

it.each([
  [partly(['kubeadm', 'kubectl'], 'amd64'), 'kubelet'],
  [partly(['kubeadm'], 'amd64'), 'kubelet, no kubectl'],
  [partly(['kubelet', 'kubectl'], 'amd64'), 'kubeadm'],
])('F49: is closed for a release that is not whole, and names what is missing', async (packages, missing) => {
  const { open, reasons } = await checkOneGate(packagesGate, {
    ...{ from: '1.34.2', to: '1.34.12', published, packages },
  });
  expect({ open, reasons }).toEqual({
    open: false,
    reasons: [
      `the package repository for v1.34 has no ${missing} 1.34.12, so that release is not complete yet; its newest is 1.34.10`,
    ],
  });
});

it('F49: asks for the architectures of the nodes that are left', async () => {
  const packages = [...partly(packageNames, 'amd64'), ...partly(['kubeadm', 'kubelet'], 'arm64')];
  const reasonsWith = async (architecture: string, release = '1.34.2') => {
    const labels = { 'kubernetes.io/arch': architecture };
    const nodes = [clusterNode('k8s-node1', { labels, release: parseRelease('test', release) })];
    const other = clusterNode('k8s-node2', { labels: { 'kubernetes.io/arch': 'amd64' } });
    const given = { from: '1.34.2', to: '1.34.12', published, packages };
    return (await checkOneGate(packagesGate, { ...given, nodes: [...nodes, other] })).reasons;
  };
  expect(await reasonsWith('amd64')).toEqual([]);
  expect(await reasonsWith('arm64')).toEqual([expect.stringContaining('has no kubectl for arm64 1.34.12')]);
  expect(await reasonsWith('arm64', '1.34.12')).toEqual([]);
});

it('is not checked once every node is at the target, when nothing more is installed', async () => {
  const nodes = [clusterNode('k8s-node1', { release: '1.34.9' as never })];
  const { open, notAsked } = await checkOneGate(packagesGate, { nodes, to: '1.34.9', published });
  expect({ open, notAsked }).toEqual({
    open: true,
    notAsked: 'not checked: every node is at 1.34.9 already',
  });
});

it('is checked while a node is in progress, even at the target: update_k8s.sh runs there again', async () => {
  const inProgress = clusterNode('k8s-node1', { release: '1.34.9' as never, cordonedByUs: true });
  const { open, reasons } = await checkOneGate(packagesGate, {
    nodes: [inProgress],
    to: '1.34.9',
    published,
  });
  expect({ open, reasons }).toEqual({
    open: false,
    reasons: ['the package repository for v1.34 has no kubeadm 1.34.9; its newest is 1.34.10'],
  });
});

it('is unknown, so closed, when the repository does not answer', async () => {
  const { open, unknown } = await checkOneGate(packagesGate, { from: '1.34.2', to: '1.34.5' });
  expect({ open, unknown }).toEqual({ open: false, unknown: true });
});
