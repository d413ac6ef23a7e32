import { expect, it } from 'vitest';
import { parseRelease } from '../release.ts';
import { ConnectionError } from '../ssh/session.ts';
import { clusterNode } from '../testing/cluster.ts';
import { checkOneGate } from '../testing/gate-context.ts';
import { upgradable } from './upgradable.ts';

const patch = { from: '1.34.2', to: '1.34.5' };
const has = ['1.34.5-1.1', '1.34.2-1.1'];
const at = (release: string) => parseRelease('test', release);

it('is open when every package manager offers the target', async () => {
  const offered = { 'k8s-master': has, 'k8s-node1': has };
  const { open, contacted } = await checkOneGate(upgradable, { ...patch, offered });
  expect({ open, contacted }).toEqual({
    open: true,
    contacted: ['k8s-master', 'k8s-node1', 'k8s-master', 'k8s-node1'],
  });
});

it('is closed for every node without the target, and names the newest release it is offered', async () => {
  const offered = { 'k8s-master': ['1.34.50-1.1', '1.34.2-1.1'], 'k8s-node1': [] };
  const { open, outcomeWhenClosed, reasons } = await checkOneGate(upgradable, { ...patch, offered });
  expect({ open, outcomeWhenClosed }).toEqual({ open: false, outcomeWhenClosed: 'blocked' });
  expect(reasons).toEqual([
    'the package manager of k8s-master offers no kubeadm 1.34.5 from https://pkgs.example/v1.34; its newest is 1.34.50',
    'the package manager of k8s-node1 offers no kubeadm 1.34.5 from https://pkgs.example/v1.34; it offers no other',
  ]);
});

it('F49: is closed for a node whose package manager offers only part of the release', async () => {
  const { open, reasons } = await checkOneGate(upgradable, {
    ...patch,
    offered: { 'k8s-master': has, 'k8s-node1': ['1.34.2-1.1'] },
    incomplete: { 'k8s-node1': ['1.34.5 kubelet kubectl'] },
  });
  expect({ open, reasons }).toEqual({
    open: false,
    reasons: [
      'the package manager of k8s-node1 offers no kubelet, no kubectl 1.34.5 from https://pkgs.example/v1.34; its newest is 1.34.2',
    ],
  });
});

it('names no repository that the node does not report', async () => {
  const offered = { 'k8s-master': ['1.34.4-1.1'], 'k8s-node1': has };
  const { reasons } = await checkOneGate(upgradable, { ...patch, offered, unreportedRepository: true });
  expect(reasons).toEqual([
    'the package manager of k8s-master offers no kubeadm 1.34.5; its newest is 1.34.4',
  ]);
});

it('is closed for an unreachable node (F25), along with the reasons of the others', async () => {
  const away = new ConnectionError(
    { name: 'k8s-node1', address: '10.0.20.5', user: 'wizard', port: 22 },
    'no answer',
  );
  const offered = { 'k8s-master': [], 'k8s-node1': away };
  const { open, unknown, reasons } = await checkOneGate(upgradable, { ...patch, offered });
  expect({ open, unknown }).toEqual({ open: false, unknown: false });
  expect(reasons).toEqual([
    expect.stringContaining('of k8s-master offers no kubeadm'),
    'SSH to k8s-node1 (10.0.20.5): no answer',
  ]);
});

it('skips nodes at the target and nodes in progress, whose script makes the same checks', async () => {
  const nodes = [
    clusterNode('k8s-master', { controlPlane: true, release: at('1.34.5') }),
    clusterNode('k8s-node1', { release: at('1.34.2'), changedAt: Date.now(), cordonedByUs: true }),
    clusterNode('k8s-node2', { release: at('1.34.2') }),
  ];
  const offered = { 'k8s-node2': has };
  const { open, contacted } = await checkOneGate(upgradable, {
    ...patch,
    server: '1.34.5',
    nodes,
    offered,
    inFlight: {},
  });
  expect({ open, contacted }).toEqual({ open: true, contacted: ['k8s-node2', 'k8s-node2'] });
});

it('leaves the packages to the stage repo before a minor, as no node has its repository yet', async () => {
  const { open, contacted } = await checkOneGate(upgradable, {});
  expect({ open, contacted }).toEqual({ open: true, contacted: ['k8s-master', 'k8s-node1'] });
});

it('is closed when update_k8s.sh --dry-run fails', async () => {
  const output = '==> worker: 1.34.2 -> 1.34.5\nerror: only 12 MiB are free';
  const { reasons } = await checkOneGate(upgradable, {
    ...{ ...patch, output, exitCode: 1 },
    offered: { 'k8s-master': has, 'k8s-node1': has },
  });
  expect(reasons).toEqual([
    'update_k8s --dry-run on k8s-master failed with exit code 1: only 12 MiB are free',
    'update_k8s --dry-run on k8s-node1 failed with exit code 1: only 12 MiB are free',
  ]);
});

it('F40: rehearses with what kubeadm will be given, so that it is refused before anything is changed', async () => {
  const kubeadm = { skipPhases: ['addon/foo', 'preflight'], ignorePreflightErrors: ['Swap'] };
  const { commands } = await checkOneGate(upgradable, { kubeadm });
  expect(commands).toEqual([
    'bash -s -- --role master --release 1.35.3 --dry-run --skip-phases addon/foo,preflight --ignore-preflight-errors Swap',
    'bash -s -- --role worker --release 1.35.3 --dry-run --skip-phases addon/foo,preflight --ignore-preflight-errors Swap',
  ]);
});

it('notes that a dry-run does not check the packages', async () => {
  const offered = { 'k8s-master': null, 'k8s-node1': null };
  const { open, notes } = await checkOneGate(upgradable, { ...patch, offered });
  expect({ open, notes }).toEqual({ open: true, notes: [expect.stringContaining('dry-run')] });
});
