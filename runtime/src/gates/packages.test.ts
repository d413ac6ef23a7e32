import { expect, it } from 'vitest';
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
