import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compatibilityGates } from '../../runtime/src/gates/compatibility/index.ts';
import { preflightGates } from '../../runtime/src/gates/index.ts';
import { annotationKeys, jobLabels, metrics, objectNames } from '../../runtime/src/names.ts';
import type { AnyLab } from '../lab/lab.ts';
import { changesByPrograms, cluster, cordonChanges, refreshed } from './observe.ts';
import { startLab } from './start-lab.ts';

const keys = annotationKeys('viktorbarzin.me');
/** Gates that have nothing to check before a patch of a cluster with one etcd member. */
const skipped = ['etcd-members', ...compatibilityGates.map(({ name }) => name)];
const patch = ['--target-version', '1.34.5', '--kind', 'patch'];

/** The commands that look and steer, against one lab in which nothing is ever upgraded. */
describe('commands', () => {
  let lab: AnyLab;
  beforeAll(async () => {
    lab = await startLab();
  });
  afterAll(() => lab.stop());

  const writes = async () =>
    (await lab.api.requestLog()).filter((r) => !['get', 'list', 'watch'].includes(r.verb) && !r.dryRun);

  it('plan finds the target itself, shows every node and every gate, and changes nothing', async () => {
    const before = (await writes()).length;
    const { exitCode, stdout } = await lab.cli(['plan']);
    expect(exitCode).toBe(0);
    const order = ['k8s-master', 'k8s-node4', 'k8s-node3', 'k8s-node2', 'k8s-node1'];
    const planned = stdout.split('\n').filter((line) => line.includes('1.34.2 → 1.34.5'));
    expect(planned.map((line) => line.trim().split(' ')[0])).toEqual(order);
    const lines = stdout.split('\n').map((line) => line.trim());
    const checked = preflightGates.filter(({ name }) => !skipped.includes(name));
    expect(lines).toEqual(
      expect.arrayContaining(checked.map(({ name, summary }) => `open    ${name.padEnd(13)}  ${summary}`)),
    );
    for (const name of skipped) expect(stdout).toMatch(new RegExp(`^ +open +${name}\\n +not checked: `, 'm'));
    expect((await writes()).length).toBe(before);
    expect(changesByPrograms(lab)).toEqual([]);
    expect(refreshed(lab)).toEqual([]);
  });

  it('plan shows a closed gate with its reason and exits 3', async () => {
    lab.prometheus.fire('KubeQuotaAlmostFull', { namespace: 'apps' });
    const { exitCode, stdout } = await lab.cli(['plan', ...patch]);
    lab.prometheus.clear('KubeQuotaAlmostFull');
    expect(exitCode).toBe(3);
    expect(stdout).toMatch(/CLOSED +alerts\n.*KubeQuotaAlmostFull.*namespace=apps/);
  });

  it.each([
    ['1.34.9', 'patch', 'the package repository for v1.34 has no kubeadm 1.34.9; its newest is 1.34.5'],
    ['1.35.9', 'minor', 'there is no package repository for v1.35'],
  ])(
    'a run to %s, which no repository has, is blocked before anything is changed',
    async (target, kind, why) => {
      const { exitCode, stdout } = await lab.cli(['run', '--target-version', target, '--kind', kind]);
      expect(stdout).toContain(why);
      expect(exitCode).toBe(3);
      expect(await cordonChanges(lab)).toEqual([]);
      expect(changesByPrograms(lab)).toEqual([]);
      expect(
        Object.keys((await cluster(lab)).namespace).filter((key) => key.startsWith('viktorbarzin.me')),
      ).toEqual([]);
    },
  );

  it('halt stops submissions and runs, says why, and resume lifts it', async () => {
    expect((await lab.cli(['halt', '--reason', 'disk swap'])).exitCode).toBe(0);
    expect((await lab.cli(['halt', '--reason', 'disk swap on k8s-node2'])).exitCode).toBe(0);
    for (const command of ['run', 'submit']) {
      const { exitCode, stderr, stdout } = await lab.cli([command, ...patch]);
      expect(exitCode).toBe(3);
      expect(stderr + stdout).toContain('disk swap on k8s-node2');
    }
    expect(await lab.detect()).toBe(0);
    expect(lab.agentService.jobs).toEqual([]);
    expect((await lab.cli(['status'])).stdout).toContain('halted      disk swap on k8s-node2');
    expect((await lab.cli(['resume'])).exitCode).toBe(0);
    expect((await lab.cli(['resume'])).exitCode).toBe(0);
    expect(await lab.api.get('configmaps', objectNames.namespace, objectNames.killSwitch)).toBeUndefined();
  });

  it('preflight,snapshot takes a verified snapshot, changes no node and leaves no in-flight annotation', async () => {
    const { exitCode } = await lab.cli(['run', ...patch, '--stages', 'preflight,snapshot']);
    expect(exitCode).toBe(0);
    const saved = lab
      .node('k8s-master')
      .history.filter((run) => run.program === 'etcdctl' && run.args.includes('save'));
    expect(saved).toHaveLength(1);
    expect(await cordonChanges(lab)).toEqual([]);
    const { nodes, namespace } = await cluster(lab);
    expect(nodes.every((node) => node.release === '1.34.2')).toBe(true);
    expect(Object.keys(namespace).filter((key) => key.startsWith('viktorbarzin.me'))).toEqual([]);
    expect(lab.pushgateway.value(metrics.inFlight.name)).toBe(0);
  });

  it('status shows a rollout in flight, and clear forgets it (F7)', async () => {
    await lab.api.modify('namespaces', undefined, objectNames.namespace, (ns) => {
      ns.metadata.annotations = {
        [keys.inFlight]: '2026-01-01T00:00:00.000Z',
        [keys.target]: '1.34.5',
        [keys.kind]: 'patch',
      };
    });
    await lab.api.modify('nodes', undefined, 'k8s-node4', (node) => {
      node.metadata.annotations = {
        ...node.metadata.annotations,
        [keys.cordoned]: 'run',
        [keys.changed]: '2026-01-01T00:00:00Z',
      };
      node.spec = { ...node.spec, unschedulable: true };
    });
    const status = JSON.parse((await lab.cli(['status', '--json'])).stdout);
    expect(status.inFlight).toMatchObject({ target: '1.34.5', started: '2026-01-01T00:00:00.000Z' });
    const { exitCode, stdout } = await lab.cli(['clear']);
    expect(exitCode).toBe(0);
    // Whether the node is fit is for a person to say.
    expect(stdout).toContain('kubectl uncordon k8s-node4');
    const { nodes, namespace } = await cluster(lab);
    expect(namespace[keys.inFlight]).toBeUndefined();
    expect(nodes.find((node) => node.name === 'k8s-node4')).toMatchObject({ unschedulable: true });
    expect(
      nodes
        .flatMap((node) => Object.keys(node.annotations))
        .filter((key) => key.startsWith('viktorbarzin.me')),
    ).toEqual([]);
    expect(lab.pushgateway.value(metrics.inFlight.name)).toBe(0);
  });

  it('clear touches nothing where the settings name a namespace that is not there', async () => {
    await lab.api.modify('nodes', undefined, 'k8s-node4', (node) => {
      node.metadata.annotations = { ...node.metadata.annotations, [keys.cordoned]: 'run' };
    });
    const other = join(lab.dir, 'other.yaml');
    await writeFile(other, JSON.stringify({ ...lab.settings, namespace: 'k8s-upgrad' }));
    const { exitCode, stderr } = await lab.cli(['clear', '--settings', other]);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('"k8s-upgrad" not found')]);
    const { nodes } = await cluster(lab);
    expect(nodes.find((node) => node.name === 'k8s-node4')?.annotations).toHaveProperty(
      [keys.cordoned],
      'run',
    );
    expect((await lab.cli(['clear'])).exitCode).toBe(0);
  });

  it('clear leaves a rollout alone whose next Job is still to start', async () => {
    const { namespace } = objectNames;
    const labels = { [jobLabels.run]: 'waiting', [jobLabels.number]: '2' };
    const cronJob = await lab.api.get('cronjobs', namespace, objectNames.executionCronJob);
    const spec = structuredClone(cronJob?.spec?.jobTemplate?.spec);
    Object.assign(spec?.template.spec ?? {}, { nodeSelector: { 'example.com/none': 'here' } });
    const metadata = { name: 'waiting-2', namespace, labels };
    await lab.api.apply([{ apiVersion: 'batch/v1', kind: 'Job', metadata, spec }]);
    const refused = await lab.cli(['clear']);
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr).toContain('Job waiting-2 has not ended');
    expect((await lab.cli(['clear', '--force'])).exitCode).toBe(0);
    await lab.api.remove('jobs', namespace, 'waiting-2');
    expect((await lab.cli(['clear'])).exitCode).toBe(0);
  });

  it('a first Ctrl-C ends a command that waits for the API server', async () => {
    const dead = join(lab.dir, 'dead');
    const text = readFileSync(await lab.kubeconfig(), 'utf8').replace(lab.api.url, 'https://127.0.0.1:1');
    await writeFile(dead, text);
    const child = await lab.spawnCli(['status', '--kubeconfig', dead]);
    const said = new Promise<string>((resolve) =>
      child.stderr?.once('data', (data) => resolve(String(data))),
    );
    expect(await said).toMatch(/no answer from the API server.*; trying again for up to 10\.0s/);
    child.kill('SIGINT');
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(130);
  });

  it('--help explains every command without a cluster or settings', async () => {
    const { exitCode, stdout } = await lab.cli(['--help'], { env: { KUBECONFIG: '/nowhere' } });
    expect(exitCode).toBe(0);
    for (const word of [
      'detect',
      'submit',
      'run',
      'plan',
      'status',
      'halt',
      'resume',
      'clear',
      'preflight',
      'Exit codes',
    ]) {
      expect(stdout).toContain(word);
    }
  });

  it.each(['run', 'submit', 'plan'])('%s --help lists the stages and says what is required', async (name) => {
    const { exitCode, stdout } = await lab.cli([name, '--help'], { env: { KUBECONFIG: '/nowhere' } });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^ +containerd +bring containerd/m);
    expect(stdout).toContain('instead of the flags');
    expect(stdout).toContain('required with --target-version');
    expect(stdout.includes('--dry-run')).toBe(name !== 'plan');
  });
});
