import { describe, expect, it, test } from 'vitest';
import { parseRelease } from '../release.ts';
import { isChanged } from '../rollout/node-annotations.ts';
import { clusterNode } from '../testing/cluster.ts';
import { describeAlert, isGating, ownEffects } from './alerts.ts';

const inFlight = {
  started: '2026-01-04T12:00:00.000Z',
  startedAt: Date.parse('2026-01-04T12:00:00.000Z'),
  target: parseRelease('test', '1.34.5'),
  kind: 'patch' as const,
  snapshotPath: undefined,
};
const withSnapshot = { ...inFlight, snapshotPath: '/mnt/main/a.db' };
const changed = clusterNode('k8s-node4', { changedAt: inFlight.startedAt + 1, address: '10.0.0.4' });
const before = clusterNode('k8s-node3', { changedAt: inFlight.startedAt - 1, address: '10.0.0.3' });
const unchanged = clusterNode('k8s-node2', { address: '10.0.0.2' });
const nodes = [changed, before, unchanged];

describe('a node counts as changed (F8)', () => {
  it('when this rollout changed it, not an earlier one', () => {
    expect(nodes.map((node) => isChanged(node, inFlight))).toEqual([true, false, false]);
    expect(isChanged(clusterNode('a', { changedAt: inFlight.startedAt }), inFlight)).toBe(true);
  });
  it('only while a rollout is in flight', () => {
    expect(nodes.map((node) => isChanged(node, undefined))).toEqual([false, false, false]);
  });
});

const release = (text: string) => parseRelease('test', text);
const uniform = { nodes, server: release('1.34.2'), target: release('1.34.5') };

describe('K8sVersionSkew with no rollout in flight', () => {
  const cases: [what: string, server: string, kubelets: string[], target: string, gating: boolean][] = [
    ['an unfinished patch', '1.34.5', ['1.34.5', '1.34.2'], '1.34.5', false],
    ['an unfinished minor', '1.35.1', ['1.35.1', '1.34.5'], '1.35.1', false],
    ['a node that joined with an older kubelet', '1.34.5', ['1.34.5', '1.34.1'], '1.34.6', false],
    ['a kubelet beyond the target', '1.34.5', ['1.34.6', '1.34.2'], '1.34.5', true],
    ['a kubelet two minors behind', '1.35.1', ['1.35.1', '1.33.4'], '1.35.1', true],
    ['no visible skew', '1.34.2', ['1.34.2', '1.34.2'], '1.34.5', true],
  ];
  test.each(cases)('%s: API server %s, kubelets %j, to %s: gating %s', (...given) => {
    const [, server, kubelets, target, gating] = given;
    const seen = kubelets.map((text, i) => clusterNode(`n${i}`, { release: release(text) }));
    const own = ownEffects({
      nodes: seen,
      server: release(server),
      target: release(target),
      inFlight: undefined,
    });
    expect(isGating({ name: 'K8sVersionSkew', labels: {} }, own)).toBe(gating);
  });
});

describe('a firing alert (F8)', () => {
  const reboot = (labels: Record<string, string>) => ({ name: 'RecentNodeReboot', labels });
  const skew = { name: 'K8sVersionSkew', labels: {} };
  const snapshot = { name: 'EtcdPreUpgradeSnapshotMissing', labels: {} };
  const cases: [alert: { name: string; labels: Record<string, string> }, flight: string, gating: boolean][] =
    [
      [skew, 'none', true],
      [skew, 'in progress', false],
      [snapshot, 'none', false],
      [snapshot, 'in progress', false],
      [snapshot, 'with snapshot', true],
      [reboot({ node: 'k8s-node4' }), 'in progress', false],
      [reboot({ node: 'k8s-node4' }), 'none', true],
      [reboot({ node: 'k8s-node3' }), 'in progress', true],
      [reboot({ node: 'k8s-node2' }), 'in progress', true],
      [reboot({ instance: '10.0.0.4:9100' }), 'in progress', false],
      [reboot({ instance: '10.0.0.4' }), 'in progress', false],
      [reboot({ instance: 'k8s-node4:9100' }), 'in progress', false],
      [reboot({ instance: '10.0.0.40:9100' }), 'in progress', true],
      [reboot({ instance: '10.0.0.2:9100' }), 'in progress', true],
      [reboot({}), 'in progress', true],
      [{ name: 'NodeDiskPressure', labels: { node: 'k8s-node4' } }, 'in progress', true],
      [{ name: 'KubeAPIServerDown', labels: {} }, 'with snapshot', true],
    ];
  const flights = { none: undefined, 'in progress': inFlight, 'with snapshot': withSnapshot };
  test.each(cases)('%j with %s in flight: gating %s', (alert, flight, gating) => {
    const own = ownEffects({ ...uniform, inFlight: flights[flight as keyof typeof flights] });
    expect(isGating(alert, own)).toBe(gating);
  });

  it('is described by its name and the labels that identify it', () => {
    const labels = { alertname: 'RecentNodeReboot', severity: 'warning', node: 'k8s-node2' };
    expect(describeAlert(reboot(labels))).toBe('alert RecentNodeReboot is firing (node=k8s-node2)');
    expect(describeAlert(skew)).toBe('alert K8sVersionSkew is firing');
  });
});
