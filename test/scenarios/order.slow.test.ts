import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { annotationKeys } from '../../runtime/src/names.ts';
import type { RunEvent } from '../../runtime/src/report/events.ts';
import { labNodes, threeControlPlanes } from '../lab/cluster.ts';
import type { AnyLab, LabOptions } from '../lab/lab.ts';
import { during } from '../lab/waits.ts';
import { changesByPrograms, cluster, drained, kubeadmOverlaps, leaseHasRunOut } from './observe.ts';
import { startLab } from './start-lab.ts';

/** What comes before what, whoever asks for which stages, dies in the middle or joins. */

const keys = annotationKeys('viktorbarzin.me');
const patch = ['--target-version', '1.34.5', '--kind', 'patch'];
const minor = ['--target-version', '1.35.3', '--kind', 'minor'];
const published = ['1.34.5', '1.35.1', '1.35.3'];
const sources = '/etc/apt/sources.list.d/kubernetes.list';

let lab: AnyLab;
afterEach(() => lab.stop());
const start = async (options: LabOptions = {}) => {
  lab = await startLab({ nodes: labNodes.slice(0, 3), ...options });
};

const expectAllAt = async (release: string) => {
  const { nodes, namespace } = await cluster(lab);
  expect(nodes.map((node) => [node.name, node.release, node.unschedulable])).toEqual(
    nodes.map(({ name }) => [name, release, false]),
  );
  expect(namespace[keys.inFlight]).toBeUndefined();
  expect(kubeadmOverlaps(lab)).toEqual([]);
};

/** Calls `action` at the first event that matches. */
const when = (matches: (event: RunEvent) => boolean, action: () => unknown) => {
  let seen = false;
  return (line: string) => {
    if (seen || !line.includes('"event"')) return;
    const { event } = JSON.parse(line) as { event?: RunEvent };
    if (event === undefined || !matches(event)) return;
    seen = true;
    action();
  };
};

/** The phases that a run reports of a node, in order. */
const phasesOf = (node: string, stdout: string) =>
  stdout
    .split('\n')
    .filter((line) => line.includes('"event"'))
    .map((line) => (JSON.parse(line) as { event?: RunEvent }).event)
    .flatMap((event) => (event?.type === 'node' && event.node === node ? [event.phase] : []));

it.each([
  ['kubelet', false, ['preparing', 'prepared', 'running-kubeadm', 'ran-kubeadm', 'draining', 'drained']],
  ['kubeadm', true, ['preparing', 'prepared', 'draining', 'drained', 'updating', 'updated']],
] as const)(
  'with drain.before %s a node is cordoned while kubeadm works there: %s',
  async (before, isCordoned, phases) => {
    await start({ settings: (base) => ({ ...base, drain: { ...base.drain, before } }) });
    const workers = ['k8s-node2', 'k8s-node1'];
    for (const name of workers) lab.node(name).faults.set('kubeadm-hang', {});
    const running = lab.cli(['run', ...patch]);
    for (const name of workers) {
      await during(running, lab.node(name).started('kubeadm', 'upgrade', 'node'));
      const { nodes } = await cluster(lab);
      expect(nodes.find((node) => node.name === name)?.unschedulable).toBe(isCordoned);
      lab.node(name).faults.clear('kubeadm-hang');
    }
    const { exitCode, stdout } = await running;
    expect(exitCode, stdout).toBe(0);
    expect(phasesOf('k8s-master', stdout).slice(0, 6)).toEqual(phases);
    await expectAllAt('1.34.5');
    expect(await drained(lab)).toEqual(['k8s-master', ...workers]);
  },
);

it('a run that dies between kubeadm and the drain of a node leaves it serving, and the next one continues there', async () => {
  await start();
  lab.node('k8s-node2').faults.set('kubeadm-hang', {});
  const first = await lab.spawnCli(['run', ...patch]);
  const closed = once(first, 'close');
  await during(closed, lab.node('k8s-node2').started('kubeadm', 'upgrade', 'node'));
  first.kill('SIGKILL');
  await closed;
  lab.node('k8s-node2').faults.clear('kubeadm-hang');
  const left = (await cluster(lab)).nodes.find(({ name }) => name === 'k8s-node2');
  expect(left).toMatchObject({ release: '1.34.2', unschedulable: false });
  expect(left?.annotations).toMatchObject({ [keys.unfinished]: 'kubeadm' });
  await leaseHasRunOut(lab);
  const { exitCode, stdout } = await lab.cli(['run', ...patch]);
  expect(exitCode, stdout).toBe(0);
  await expectAllAt('1.34.5');
  expect(await drained(lab)).toEqual(['k8s-master', 'k8s-node2', 'k8s-node1']);
});

it('stages that leave the control plane out do not take the workers past it', async () => {
  await start({ release: '1.34.5', published });
  const { exitCode, stdout } = await lab.cli(['run', ...minor, '--stages', 'repo,workers']);
  expect(exitCode, stdout).toBe(3);
  expect(stdout).toContain('control-plane-first: the API server of k8s-master is older than 1.35');
  expect(changesByPrograms(lab)).toEqual([]);
  expect(lab.node('k8s-node1').read(sources)).toContain('/v1.34/');
  expect((await cluster(lab)).namespace[keys.inFlight]).toBeUndefined();
});

it('a script that outlives its executor is waited for before kubeadm begins on a control-plane node that has joined', async () => {
  await start({ nodes: threeControlPlanes });
  const joins = [await lab.api.leave('k8s-master2'), await lab.api.leave('k8s-master3')];
  await lab.api.settled();
  lab.node('k8s-node1').setDuration('kubeadm', 12);
  lab.node('k8s-node2').setDuration('kubeadm', 12);
  const first = await lab.spawnCli(['run', ...patch]);
  const closed = once(first, 'close');
  const starts = ['k8s-node1', 'k8s-node2'].map((name) =>
    lab.node(name).started('kubeadm', 'upgrade', 'node'),
  );
  await during(closed, Promise.race(starts));
  first.kill('SIGKILL');
  await closed;
  for (const node of joins) await lab.api.join(node);
  await leaseHasRunOut(lab);
  const second = await lab.cli(['run', ...patch]);
  expect(second.exitCode, second.stdout).toBe(0);
  await expectAllAt('1.34.5');
});

it('a node that joins a minor after its repositories were set is upgraded like the others (F26)', async () => {
  await start({
    nodes: labNodes.slice(0, 4),
    release: '1.34.5',
    published,
    settings: (base) => ({ ...base, nodes: {} }),
  });
  const later = await lab.api.leave('k8s-node3');
  await lab.api.settled();
  const onLine = when(
    (event) => event.type === 'node' && event.node === 'k8s-master' && event.phase === 'done',
    () => lab.api.join(later),
  );
  const { exitCode, stdout } = await lab.cli(['run', ...minor], { onLine });
  expect(exitCode, stdout).toBe(0);
  await expectAllAt('1.35.3');
  expect(lab.node('k8s-node3').read(sources)).toContain('/v1.35/');
});

it('a minor that ended after its repositories were set is finished by the next detection', async () => {
  await start({ release: '1.34.5', published });
  const first = await lab.spawnCli(['run', ...minor, '--stages', 'preflight,snapshot,repo']);
  await once(first, 'close');
  expect((await cluster(lab)).namespace[keys.target]).toBe('1.35.3');
  expect(lab.node('k8s-master').read(sources)).toContain('/v1.35/');
  expect(await lab.detect()).toBe(0);
  const exitCode = await lab.agentJobEnd(lab.agentService.jobs[0]?.id);
  expect(exitCode, lab.slack.messages.at(-1)?.text).toBe(0);
  await expectAllAt('1.35.3');
  expect(await drained(lab)).toHaveLength(3);
});
