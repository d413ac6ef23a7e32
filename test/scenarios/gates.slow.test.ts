import { afterEach, describe, expect, it } from 'vitest';
import { annotationKeys, metrics, objectNames } from '../../runtime/src/names.ts';
import type { RunEvent } from '../../runtime/src/report/events.ts';
import type { KubeObject } from '../lab/api/types.ts';
import { labNodes } from '../lab/cluster.ts';
import type { AnyLab, LabOptions } from '../lab/lab.ts';
import { cluster, drained } from './observe.ts';
import { applied, startLab } from './start-lab.ts';

/**
 * Gates in the course of whole rollouts: what a rollout leaves does not stop it, and everything else does.
 */

const keys = annotationKeys('viktorbarzin.me');
const patch = ['--target-version', '1.34.5', '--kind', 'patch'];
const minor = ['--target-version', '1.35.3', '--kind', 'minor'];

let lab: AnyLab;
afterEach(() => lab.stop());
const start = async (options: LabOptions = {}) => {
  lab = await startLab({ nodes: labNodes.slice(0, 3), ...options });
};

function eventOf(line: string): RunEvent | undefined {
  try {
    return (JSON.parse(line) as { event?: RunEvent }).event;
  } catch {
    return undefined;
  }
}

const expectAllAt = async (release: string) => {
  const { nodes, namespace } = await cluster(lab);
  expect(nodes.map((node) => node.release)).toEqual(nodes.map(() => release));
  expect(namespace[keys.inFlight]).toBeUndefined();
  expect(lab.pushgateway.value(metrics.inFlight.name)).toBe(0);
};

describe('what a rollout leaves', () => {
  it('F7: an in-flight annotation that was left before its snapshot, and the alert on it, do not stop the run that cures it', async () => {
    // The alert clears once the metric of the snapshot has arrived, on a busy machine after the gate checks.
    await start({ settings: (base) => ({ ...base, gates: { ...base.gates, alertWait: '20s' } }) });
    const started = new Date(Date.now() - 4 * 3_600_000).toISOString();
    await lab.api.modify('namespaces', undefined, objectNames.namespace, (ns) => {
      ns.metadata.annotations = { [keys.inFlight]: started, [keys.target]: '1.34.5', [keys.kind]: 'patch' };
    });
    lab.prometheus.fire('EtcdPreUpgradeSnapshotMissing');
    // The rule has no cause any more once a snapshot is there; Prometheus evaluates it a moment later.
    lab.events.on('run-event', ({ type }) => {
      if (type === 'snapshot') setTimeout(() => lab.prometheus.clear('EtcdPreUpgradeSnapshotMissing'), 500);
    });
    expect(await lab.detect()).toBe(0);
    const [job] = lab.agentService.jobs;
    const exitCode = await lab.agentJobEnd(job?.id);
    expect(exitCode, lab.slack.messages.at(-1)?.text).toBe(0);
    await expectAllAt('1.34.5');
  });

  it('F8: the alerts that a rollout causes by itself do not stop it; the reboot of another node does', async () => {
    await start();
    const onLine = (line: string) => {
      const event = eventOf(line);
      if (event?.type !== 'node' || event.phase !== 'updating') return;
      lab.prometheus.fire('RecentNodeReboot', { node: event.node });
      if (event.node === 'k8s-master') lab.prometheus.fire('K8sVersionSkew');
      if (event.node === 'k8s-node2') lab.prometheus.fire('RecentNodeReboot', { node: 'k8s-node1' });
    };
    const { exitCode, stdout } = await lab.cli(['run', ...patch], { onLine });
    expect(exitCode, stdout).toBe(3);
    expect(await drained(lab)).toEqual(['k8s-master', 'k8s-node2']);
    expect(stdout).toMatch(/RecentNodeReboot is firing \(node=k8s-node1\)/);
    lab.prometheus.clear('RecentNodeReboot', { node: 'k8s-node1' });
    expect((await lab.cli(['run', ...patch])).exitCode).toBe(0);
    await expectAllAt('1.34.5');
    expect(await drained(lab)).toEqual(['k8s-master', 'k8s-node2', 'k8s-node1']);
  });
});

describe('a drain that fails', () => {
  it('F11: the run’s own cordon is lifted, and a person’s is not', async () => {
    await start({ settings: (base) => ({ ...base, drain: { ...base.drain, timeout: '2s' } }) });
    await lab.api.modify('nodes', undefined, 'k8s-node1', (node) => {
      node.spec = { ...node.spec, unschedulable: true };
    });
    await lab.api.apply([endless('stuck', 'k8s-node2')]);
    await lab.api.settled();
    const { exitCode, stdout } = await lab.cli(['run', ...patch]);
    expect(exitCode, stdout).not.toBe(0);
    expect(stdout).toContain('apps/stuck');
    const state = (await cluster(lab)).nodes.map((node) => [node.name, node.release, node.unschedulable]);
    expect(state).toEqual([
      ['k8s-master', '1.34.5', false],
      ['k8s-node1', '1.34.2', true],
      ['k8s-node2', '1.34.2', false],
    ]);
    // kubeadm's step is done there, so the next run continues with the drain.
    const left = (await cluster(lab)).nodes.find(({ name }) => name === 'k8s-node2');
    expect(left?.annotations).toMatchObject({ [keys.unfinished]: 'kubeadm' });
    expect(Object.keys(left?.annotations ?? {})).not.toContain(keys.cordoned);
  });
});

describe('a minor that is unfinished', () => {
  it('F9 F10: with the control plane at the target, only what is left is asked for, and it is finished', async () => {
    await start({
      release: '1.34.5',
      releases: { 'k8s-master': '1.35.3' },
      published: ['1.34.5', '1.35.1', '1.35.3'],
    });
    await applied(lab, 'k8s-master', '1.35.3');
    // The API server has made the step: that somebody calls what it serves no more has shown by now.
    lab.prometheus.apiServers = [];
    const config = lab.node('k8s-node1').read('/var/lib/kubelet/config.yaml');
    lab
      .node('k8s-node1')
      .write('/var/lib/kubelet/config.yaml', `${config}featureGates: {ComponentSLIs: true}\n`);
    const refused = await lab.cli(['run', ...minor]);
    expect(refused.exitCode, refused.stdout).toBe(3);
    expect(refused.stdout).toContain(
      'ComponentSLIs in /var/lib/kubelet/config.yaml of k8s-node1 is gone in 1.35',
    );
    expect(await drained(lab)).toEqual([]);
    lab.node('k8s-node1').write('/var/lib/kubelet/config.yaml', config);
    const finished = await lab.cli(['run', ...minor]);
    expect(finished.exitCode, finished.stdout).toBe(0);
    await expectAllAt('1.35.3');
    expect(await drained(lab)).toEqual(['k8s-node2', 'k8s-node1']);
  });
});

/** A pod that is deleted and never goes. */
const endless = (name: string, nodeName: string): KubeObject =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'apps', labels: { app: name }, finalizers: ['example.com/never'] },
    spec: { nodeName, containers: [{ name: 'main', image: 'docker.io/library/stuck:1.0.0' }] },
  }) as KubeObject;
