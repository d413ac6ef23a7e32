import { describe, expect, it, test } from 'vitest';
import { parseRelease } from '../release.ts';
import { isTouched } from '../rollout/node-marks.ts';
import { clusterNode } from '../testing/cluster.ts';
import { closesGate, describeAlert, ownMarks } from './alerts.ts';

const inFlight = {
  started: '2026-01-04T12:00:00.000Z',
  startedAt: Date.parse('2026-01-04T12:00:00.000Z'),
  target: parseRelease('test', '1.34.5'),
  kind: 'patch' as const,
  snapshotPath: undefined,
};
const withSnapshot = { ...inFlight, snapshotPath: '/mnt/main/a.db' };
const touched = clusterNode('k8s-node4', { touchedAt: inFlight.startedAt + 1, address: '10.0.0.4' });
const before = clusterNode('k8s-node3', { touchedAt: inFlight.startedAt - 1, address: '10.0.0.3' });
const untouched = clusterNode('k8s-node2', { address: '10.0.0.2' });
const nodes = [touched, before, untouched];

describe('a node is touched (F8)', () => {
  it('by this rollout, not by an earlier one', () => {
    expect(nodes.map((node) => isTouched(node, inFlight))).toEqual([true, false, false]);
    expect(isTouched(clusterNode('a', { touchedAt: inFlight.startedAt }), inFlight)).toBe(true);
  });
  it('by nobody while no rollout is in flight', () => {
    expect(nodes.map((node) => isTouched(node, undefined))).toEqual([false, false, false]);
  });
});

const release = (text: string) => parseRelease('test', text);
const uniform = { nodes, server: release('1.34.2'), target: release('1.34.5') };

describe('K8sVersionSkew with no rollout marked as in flight', () => {
  const cases: [what: string, server: string, kubelets: string[], target: string, closes: boolean][] = [
    ['a patch half way', '1.34.5', ['1.34.5', '1.34.2'], '1.34.5', false],
    ['a minor half way', '1.35.1', ['1.35.1', '1.34.5'], '1.35.1', false],
    ['a node that joined with an older kubelet', '1.34.5', ['1.34.5', '1.34.1'], '1.34.6', false],
    ['a kubelet beyond the target', '1.34.5', ['1.34.6', '1.34.2'], '1.34.5', true],
    ['a kubelet of two minors ago', '1.35.1', ['1.35.1', '1.33.4'], '1.35.1', true],
    ['no skew to be seen', '1.34.2', ['1.34.2', '1.34.2'], '1.34.5', true],
  ];
  test.each(cases)('%s: API server %s, kubelets %j, to %s closes the gate: %s', (...given) => {
    const [, server, kubelets, target, closes] = given;
    const seen = kubelets.map((text, i) => clusterNode(`n${i}`, { release: release(text) }));
    const own = ownMarks({
      nodes: seen,
      server: release(server),
      target: release(target),
      inFlight: undefined,
    });
    expect(closesGate({ name: 'K8sVersionSkew', labels: {} }, own)).toBe(closes);
  });
});

describe('a firing alert (F8)', () => {
  const reboot = (labels: Record<string, string>) => ({ name: 'RecentNodeReboot', labels });
  const skew = { name: 'K8sVersionSkew', labels: {} };
  const snapshot = { name: 'EtcdPreUpgradeSnapshotMissing', labels: {} };
  const cases: [alert: { name: string; labels: Record<string, string> }, flight: string, closes: boolean][] =
    [
      [skew, 'none', true],
      [skew, 'begun', false],
      [snapshot, 'none', false],
      [snapshot, 'begun', false],
      [snapshot, 'with snapshot', true],
      [reboot({ node: 'k8s-node4' }), 'begun', false],
      [reboot({ node: 'k8s-node4' }), 'none', true],
      [reboot({ node: 'k8s-node3' }), 'begun', true],
      [reboot({ node: 'k8s-node2' }), 'begun', true],
      [reboot({ instance: '10.0.0.4:9100' }), 'begun', false],
      [reboot({ instance: '10.0.0.4' }), 'begun', false],
      [reboot({ instance: 'k8s-node4:9100' }), 'begun', false],
      [reboot({ instance: '10.0.0.40:9100' }), 'begun', true],
      [reboot({ instance: '10.0.0.2:9100' }), 'begun', true],
      [reboot({}), 'begun', true],
      [{ name: 'NodeDiskPressure', labels: { node: 'k8s-node4' } }, 'begun', true],
      [{ name: 'KubeAPIServerDown', labels: {} }, 'with snapshot', true],
    ];
  const flights = { none: undefined, begun: inFlight, 'with snapshot': withSnapshot };
  test.each(cases)('%j with %s in flight closes the gate: %s', (alert, flight, closes) => {
    const own = ownMarks({ ...uniform, inFlight: flights[flight as keyof typeof flights] });
    expect(closesGate(alert, own)).toBe(closes);
  });

  it('is described with what tells it from its like', () => {
    const labels = { alertname: 'RecentNodeReboot', severity: 'warning', node: 'k8s-node2' };
    expect(describeAlert(reboot(labels))).toBe('alert RecentNodeReboot is firing (node=k8s-node2)');
    expect(describeAlert(skew)).toBe('alert K8sVersionSkew is firing');
  });
});
