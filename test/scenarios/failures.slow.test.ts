import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { annotationKeys, metrics, objectNames } from '../../runtime/src/names.ts';
import type { RunEvent } from '../../runtime/src/report/events.ts';
import { labNodes } from '../lab/cluster.ts';
import type { AnyLab, LabOptions } from '../lab/lab.ts';
import { during, until } from '../lab/waits.ts';
import { cluster, drained, jobsOfRuns, kubeadmOverlaps, runningPod, slackEnds } from './observe.ts';
import { applied, startLab } from './start-lab.ts';

/**
 * How pipelines like this one have failed; each title carries the number under which the architecture answers
 * it.
 */

const keys = annotationKeys('viktorbarzin.me');
const patch = ['--target-version', '1.34.5', '--kind', 'patch'];
const everyNode = ['k8s-master', 'k8s-node2', 'k8s-node1'];

let lab: AnyLab;
afterEach(() => lab.stop());
const start = async (options: LabOptions = {}) => {
  lab = await startLab({ nodes: labNodes.slice(0, 3), ...options });
};

const setNode = async (
  name: string,
  change: { unschedulable?: boolean; annotations?: Record<string, string> },
) =>
  lab.api.modify('nodes', undefined, name, (node) => {
    if (change.unschedulable !== undefined) node.spec = { ...node.spec, unschedulable: change.unschedulable };
    node.metadata.annotations = { ...node.metadata.annotations, ...change.annotations };
  });

const expectAllAt = async (release: string) => {
  const { nodes, namespace } = await cluster(lab);
  expect(nodes.map((node) => node.release)).toEqual(nodes.map(() => release));
  expect(namespace[keys.inFlight]).toBeUndefined();
  expect(kubeadmOverlaps(lab)).toEqual([]);
};

/** Resolves at the first event that matches. */
const event = (matches: (event: RunEvent) => boolean) =>
  new Promise<void>((resolve) => {
    lab.events.on('run-event', (one) => matches(one) && resolve());
  });

describe('placement and lifetime', () => {
  it('F1 F4: no Job runs on a node that it drains, with a node that would take none', async () => {
    await start({ nodes: labNodes });
    await lab.api.modify('nodes', undefined, 'k8s-node1', (node) => {
      node.spec = { ...node.spec, taints: [{ key: 'nvidia.com/gpu', effect: 'NoSchedule', value: 'true' }] };
    });
    const hosts: string[] = [];
    lab.api.view.subscribe(({ resource, object, before }) => {
      if (resource !== 'nodes') return;
      const cordoned = (one: unknown) =>
        (one as { spec?: { unschedulable?: boolean } } | undefined)?.spec?.unschedulable === true;
      if (!cordoned(object) || cordoned(before)) return;
      const jobs = lab.api.view
        .list('pods')
        .filter((pod) => pod.metadata.labels?.['k8s-upgrade/run'] && pod.status?.phase === 'Running');
      hosts.push(
        ...jobs.filter((pod) => pod.spec?.nodeName === object.metadata.name).map((pod) => pod.metadata.name),
      );
    });
    expect(await lab.detect()).toBe(0);
    const [job] = lab.agentService.jobs;
    expect(await lab.agentJobEnd(job?.id)).toBe(0);
    expect(hosts).toEqual([]);
    await expectAllAt('1.34.5');
  });

  it('F3: the caller has forgotten the run and its submitter is dead: halt stops it before its next drain', async () => {
    await start();
    const agent = { namespace: objectNames.namespace, serviceAccount: objectNames.submitterServiceAccount };
    lab.submit = async (inputs) => {
      const submitter = await lab.spawnCli(['submit', '--inputs', inputs], { user: agent });
      const closed = once(submitter, 'close').then(() => ({ exitCode: -1, output: 'killed' }));
      await during(closed, lab.node('k8s-node2').started('kubeadm', 'upgrade', 'node'));
      submitter.kill('SIGKILL');
      return closed;
    };
    lab.node('k8s-node2').faults.set('kubeadm-hang', {});
    expect(await lab.detect()).toBe(0);
    const [forgotten] = lab.agentService.jobs;
    expect(await lab.agentJobEnd(forgotten?.id)).toBe(-1);
    lab.agentService.forget();
    await lab.agentService.stop();

    expect((await lab.cli(['halt', '--reason', 'the power is about to go'])).exitCode).toBe(0);
    expect((await jobsOfRuns(lab)).map((job) => job.status?.active)).toEqual([1]);
    lab.node('k8s-node2').faults.clear('kubeadm-hang');
    await until('the run has stopped', async () =>
      (await jobsOfRuns(lab)).every((job) => !job.status?.active),
    );
    await lab.api.settled();
    const { nodes, namespace, lease } = await cluster(lab);
    expect(nodes.map((node) => [node.name, node.release, node.unschedulable])).toEqual([
      ['k8s-master', '1.34.5', false],
      ['k8s-node1', '1.34.2', false],
      // kubeadm's step has ended by itself; the node serves on, with its old kubelet.
      ['k8s-node2', '1.34.2', false],
    ]);
    expect(await drained(lab)).toEqual(['k8s-master']);
    expect([lease, namespace[keys.target]]).toEqual(['', '1.34.5']);
    expect(slackEnds(lab, 'done')).toEqual([]);
    expect(lab.slack.messages.at(-1)?.text).toContain('the power is about to go');

    await lab.agentService.start();
    Reflect.deleteProperty(lab, 'submit');
    expect((await lab.cli(['resume'])).exitCode).toBe(0);
    expect(await lab.detect()).toBe(0);
    const [next] = lab.agentService.jobs;
    expect(await lab.agentJobEnd(next?.id)).toBe(0);
    await expectAllAt('1.34.5');
    expect(await drained(lab)).toEqual(everyNode);
    expect(slackEnds(lab, 'done')).toHaveLength(1);
  });

  it('F5: killed in the middle of a node, the Job starts a process that continues', async () => {
    await start();
    const updating = event((e) => e.type === 'node' && e.node === 'k8s-node2' && e.phase === 'updating');
    expect(await lab.detect()).toBe(0);
    const [job] = lab.agentService.jobs;
    await during(
      lab.agentJobEnd(job?.id).then((exitCode) => ({ exitCode })),
      updating,
    );
    expect(lab.api.killPod((await runningPod(lab)).metadata.name)).toBe(true);
    expect(await lab.agentJobEnd(job?.id)).toBe(0);
    await expectAllAt('1.34.5');
    expect(await drained(lab)).toEqual(everyNode);
    expect(slackEnds(lab, 'done')).toHaveLength(1);
  });

  it('F5: the connection to a node is cut while its script runs; it continues and is joined again', async () => {
    await start();
    lab.node('k8s-node2').setDuration('kubeadm', 1.5);
    const running = lab.cli(['run', ...patch]);
    await during(running, lab.node('k8s-node2').started('kubeadm', 'upgrade', 'node'));
    lab.node('k8s-node2').cutConnections();
    expect((await running).exitCode).toBe(0);
    await expectAllAt('1.34.5');
    const upgrades = lab
      .node('k8s-node2')
      .history.filter((run) => run.program === 'kubeadm' && run.args[1] === 'node');
    expect(upgrades).toHaveLength(1);
  });
});

describe('images', () => {
  it('F70: a registry without the images of the target is noticed before a node changes', async () => {
    await start();
    lab.node('k8s-master').faults.set('no-images', { matching: 'kube-.*:v1.34.5' });
    const { exitCode, stdout } = await lab.cli(['run', ...patch]);
    expect(exitCode).toBe(3);
    expect(stdout).toContain('4 images could not be pulled: kube-apiserver:v1.34.5, ');
    expect(await drained(lab)).toEqual([]);
    const { nodes } = await cluster(lab);
    expect(nodes.map((node) => [node.release, node.unschedulable])).toEqual(
      nodes.map(() => ['1.34.2', false]),
    );
    lab.node('k8s-master').faults.clear('no-images');
    expect((await lab.cli(['run', ...patch])).exitCode).toBe(0);
    await expectAllAt('1.34.5');
  });
});

describe('state', () => {
  it('F7: detection clears an old in-flight annotation without a run, and continues', async () => {
    await start({ release: '1.34.5' });
    await lab.api.modify('namespaces', undefined, objectNames.namespace, (ns) => {
      ns.metadata.annotations = {
        [keys.inFlight]: '2026-01-01T00:00:00.000Z',
        [keys.target]: '1.34.5',
        [keys.kind]: 'patch',
      };
    });
    await fetch(`${lab.pushgateway.url}/metrics/job/k8s-version-upgrade`, {
      method: 'PUT',
      body: `${metrics.inFlight.name} 1\n${metrics.lastRun.name} 7\n`,
    });
    expect(await lab.detect()).toBe(0);
    expect((await cluster(lab)).namespace[keys.inFlight]).toBeUndefined();
    expect(lab.pushgateway.value(metrics.inFlight.name)).toBe(0);
    expect(lab.pushgateway.value(metrics.lastRun.name)).toBe(7);
  });

  it('F7: a gauge that a run left at 1, because its last push was not taken, is put right', async () => {
    await start({ release: '1.34.5' });
    await fetch(`${lab.pushgateway.url}/metrics/job/k8s-version-upgrade`, {
      method: 'PUT',
      body: `${metrics.inFlight.name} 1\n`,
    });
    expect(await lab.detect()).toBe(0);
    expect(lab.pushgateway.value(metrics.inFlight.name)).toBe(0);
  });

  it('F8 F9 F10: a rollout that is unfinished is finished, through its own alerts', async () => {
    const done = { 'k8s-master': '1.34.5', 'k8s-node2': '1.34.5' };
    await start({ releases: done });
    await applied(lab, 'k8s-master', '1.34.5');
    const started = new Date(Date.now() - 3 * 3_600_000).toISOString();
    await lab.api.modify('namespaces', undefined, objectNames.namespace, (ns) => {
      ns.metadata.annotations = { [keys.inFlight]: started, [keys.target]: '1.34.5', [keys.kind]: 'patch' };
    });
    for (const name of Object.keys(done))
      await setNode(name, { annotations: { [keys.changed]: new Date().toISOString() } });
    lab.prometheus.fire('K8sVersionSkew');
    lab.prometheus.fire('RecentNodeReboot', { node: 'k8s-node2' });
    expect(await lab.detect()).toBe(0);
    const [job] = lab.agentService.jobs;
    expect(await lab.agentJobEnd(job?.id)).toBe(0);
    await expectAllAt('1.34.5');
    expect(await drained(lab)).toEqual(['k8s-node1']);
  });

  it('F11: a cordon that a person made is still there afterwards', async () => {
    await start({ nodes: labNodes });
    await setNode('k8s-node1', { unschedulable: true });
    expect((await lab.cli(['run', ...patch])).exitCode).toBe(0);
    await expectAllAt('1.34.5');
    expect((await cluster(lab)).nodes.filter((node) => node.unschedulable).map((node) => node.name)).toEqual([
      'k8s-node1',
    ]);
  });

  it('F47: a cordon that a person made is still there, also where a rollout has left its mark before', async () => {
    await start({ nodes: labNodes });
    const mark = { [keys.cordoned]: '2026-01-04T12:00:00.000Z' };
    await setNode('k8s-node1', { unschedulable: true, annotations: mark });
    await setNode('k8s-node2', { annotations: { ...mark, [keys.soaking]: '2026-01-04T12:00:00.000Z' } });
    const { exitCode, stdout } = await lab.cli(['run', ...patch]);
    expect(exitCode, stdout).toBe(0);
    await expectAllAt('1.34.5');
    expect(stdout).toContain('kubectl uncordon k8s-node1 when it is fit');
    const { nodes } = await cluster(lab);
    expect(nodes.filter((node) => node.unschedulable).map((node) => node.name)).toEqual(['k8s-node1']);
    const annotated = nodes.flatMap((node) => Object.keys(node.annotations));
    expect(annotated.filter((key) => key.startsWith('viktorbarzin.me'))).toEqual([]);
  });

  it('two runs: the second says who holds the lease, and exits 3', async () => {
    await start();
    lab.node('k8s-master').setDuration('kubeadm', 1);
    const first = lab.cli(['run', ...patch]);
    await during(first, lab.node('k8s-master').started('kubeadm', 'upgrade', 'apply'));
    const second = await lab.cli(['run', ...patch]);
    expect(second.exitCode).toBe(3);
    expect(second.stderr).toMatch(/cannot start: 1-34-5-\S+ holds the lease k8s-version-upgrade since 20/);
    expect((await first).exitCode).toBe(0);
    await expectAllAt('1.34.5');
  });

  it('a kill switch that is set during a run stops it before the next drain', async () => {
    await start({ settings: (base) => ({ ...base, gates: { ...base.gates, alertWait: '60s' } }) });
    const running = lab.cli(['run', ...patch]);
    await during(running, lab.node('k8s-master').started('kubeadm', 'upgrade', 'apply'));
    // Holds the run before the next drain for as long as it takes to halt it.
    lab.prometheus.fire('NodeMemoryPressure', { node: 'k8s-node1' });
    expect((await lab.cli(['halt', '--reason', 'the power is about to go'])).exitCode).toBe(0);
    lab.node('k8s-master').faults.clear('kubeadm-hang');
    const { exitCode, stdout } = await running;
    expect(exitCode).toBe(3);
    expect(stdout).toContain('the power is about to go');
    const { nodes } = await cluster(lab);
    expect(nodes.map((node) => [node.release, node.unschedulable])).toEqual([
      ...Array.from({ length: 3 }, () => ['1.34.2', false]),
    ]);
  });
});

describe('gates and reports', () => {
  it('F15 F16: a release that is too young is held, not failed', async () => {
    await start({ published: ['1.34.2'] });
    lab.packages.publish('1.34.5', { date: new Date(Date.now() - 3_600_000) });
    expect(await lab.detect()).toBe(0);
    expect(lab.agentService.jobs).toEqual([]);
    expect(lab.pushgateway.value(metrics.detectionOutcome.name, { outcome: 'held' })).toBe(1);
    expect(
      lab.pushgateway.value(metrics.available.name, { kind: 'patch', running: '1.34.2', target: '1.34.5' }),
    ).toBe(1);
  });

  it('F20: kubeadm that gives up on a static pod which did change does not fail the run', async () => {
    await start();
    lab
      .node('k8s-master')
      .faults.set('static-pod-hash', { component: 'kube-apiserver', how: 'changed', times: 1 });
    expect((await lab.cli(['run', ...patch])).exitCode).toBe(0);
    await expectAllAt('1.34.5');
  });

  it('F31: a Prometheus that is away closes the gate; nothing is changed', async () => {
    await start();
    await lab.prometheus.stop();
    const { exitCode, stdout } = await lab.cli(['run', ...patch]);
    expect(exitCode).toBe(3);
    expect(stdout).toContain('alerts: unknown, so closed');
    expect(await drained(lab)).toEqual([]);
  });

  it('a Slack and a Pushgateway that are away do not stop a run', async () => {
    await start();
    await Promise.all([lab.slack.stop(), lab.pushgateway.stop()]);
    expect((await lab.cli(['run', ...patch])).exitCode).toBe(0);
    await expectAllAt('1.34.5');
  });

  it('the agent service is full: nothing is lost, and the next detection dispatches', async () => {
    await start();
    lab.agentService.queueFull = true;
    expect(await lab.detect()).toBe(0);
    lab.agentService.queueFull = false;
    expect(await lab.detect()).toBe(0);
    expect(lab.agentService.jobs).toHaveLength(1);
  });
});
