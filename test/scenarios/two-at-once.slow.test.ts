import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { jobLabels, objectNames } from '../../runtime/src/names.ts';
import { labNodes } from '../lab/cluster.ts';
import type { AnyLab, LabOptions } from '../lab/lab.ts';
import { during } from '../lab/waits.ts';
import {
  cluster,
  drained,
  jobsOfRuns,
  kubeadmOverlaps,
  leaseHasRunOut,
  runningPod,
  slackEnds,
} from './observe.ts';
import { atLeast, startLab } from './start-lab.ts';

/**
 * A second person, Job or detection, while one is in progress. A process that was stopped for longer than its
 * lease: test/lab/crash.
 */

const patch = ['--target-version', '1.34.5', '--kind', 'patch'];
const inputs = JSON.stringify({ target_version: '1.34.5', kind: 'patch' });

let lab: AnyLab;
afterEach(() => lab.stop());
const start = async (options: LabOptions = {}) => {
  lab = await startLab({ nodes: labNodes.slice(0, 3), ...options });
};

const expectFinishedOnce = async () => {
  expect((await cluster(lab)).nodes.map(({ release, unschedulable }) => [release, unschedulable])).toEqual(
    Array.from({ length: 3 }, () => ['1.34.5', false]),
  );
  expect((await drained(lab)).sort()).toEqual(['k8s-master', 'k8s-node1', 'k8s-node2']);
  expect(kubeadmOverlaps(lab)).toEqual([]);
  expect(slackEnds(lab, 'done')).toHaveLength(1);
};

it("while a Job runs, a person's run reports who and since when, and exits 3", async () => {
  await start();
  lab.node('k8s-master').setDuration('kubeadm', 1);
  const running = lab.submit(inputs);
  await during(running, lab.node('k8s-master').started('kubeadm', 'upgrade', 'apply'));
  const pod = await runningPod(lab);
  const person = await lab.cli(['run', ...patch]);
  expect(person.exitCode).toBe(3);
  const holder = `${pod.metadata.labels?.[jobLabels.run]}/${pod.metadata.name}`;
  expect(person.stderr).toContain(`cannot start: ${holder} holds the lease ${objectNames.lease} since 20`);
  // The same target joins the run in progress; another one is refused, with the Job that is in its way.
  const other = await lab.submit(
    JSON.stringify({ target_version: '1.34.5', kind: 'patch', stages: 'preflight' }),
  );
  expect(other.exitCode).toBe(3);
  expect(other.output).toMatch(/another run is in progress:\n {2}- Job k8s-version-upgrade-\d-/);
  const again = await lab.submit(inputs);
  expect([again.exitCode, (await running).exitCode]).toEqual([0, 0]);
  await expectFinishedOnce();
});

it('a holder that died: its lease is respected until it has run out, and then taken over', async () => {
  // A second run has to come to it before it has run out.
  await start({
    settings: (base) => ({ ...base, timing: { ...base.timing, lease: atLeast('8s', base.timing?.lease) } }),
  });
  const first = await lab.spawnCli(['run', ...patch]);
  const closed = once(first, 'close');
  await during(closed, lab.node('k8s-node2').started('kubeadm', 'upgrade', 'node'));
  first.kill('SIGKILL');
  await closed;
  const dead = (await cluster(lab)).lease;
  expect(dead).toMatch(/^1-34-5-/);
  const second = await lab.cli(['run', ...patch]);
  expect(second.exitCode).toBe(3);
  expect(second.stderr).toContain(`${dead} holds the lease`);
  expect(second.stderr).toContain('If its process has died, run again after 20');
  await leaseHasRunOut(lab);
  const third = await lab.cli(['run', ...patch]);
  expect(third.exitCode, third.stdout).toBe(0);
  expect(third.stdout).toMatch(
    new RegExp(`waiting for ${dead}, which holds the lease \\S+: until 20\\S+Z if it has died\\b`),
  );
  await expectFinishedOnce();
});

it.each(['agent-service', 'job'] as const)('two detections at once dispatch one run (%s)', async (mode) => {
  await start({ settings: (base) => ({ ...base, dispatch: { ...base.dispatch, mode } }) });
  lab.submit = async () => ({ exitCode: 0, output: '' });
  expect(await Promise.all([lab.detect(), lab.detect()])).toEqual([0, 0]);
  const jobs = await jobsOfRuns(lab);
  const runs = jobs.flatMap((job) => job.metadata.labels?.[jobLabels.run] ?? []);
  expect(lab.agentService.jobs.length + new Set(runs).size).toBe(1);
});
