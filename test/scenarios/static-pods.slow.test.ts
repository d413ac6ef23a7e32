import { once } from 'node:events';
import { afterEach, expect } from 'vitest';
import { isReady } from '../lab/api/controllers/pods.ts';
import type { Pod } from '../lab/api/types.ts';
import { labNodes, threeControlPlanes } from '../lab/cluster.ts';
import type { Lab, LabOptions } from '../lab/lab.ts';
import { until } from '../lab/waits.ts';
import { drained, leaseHasRunOut } from './observe.ts';
import { embedded } from './start-lab.ts';

/** A restarted kubelet recreates the static pods of its node, later than it reports Ready (F69). */

let lab: Lab;
afterEach(() => lab.stop());
const start = async (staticPods: string, options: LabOptions = {}) => {
  lab = await embedded.startLab({
    nodes: threeControlPlanes,
    settings: (base) => ({ ...base, timing: { ...base.timing, staticPods } }),
    ...options,
  });
};

const ofControlPlane = (node: string) => (pod: Pod) =>
  pod.metadata.labels?.tier === 'control-plane' && pod.spec?.nodeName === node;

/** For each node that is uncordoned: how many of its static pods were recreated, and which were not Ready. */
function readmissions() {
  const recreated = new Map<string, number>();
  const seen: { node: string; recreated: number; unready: string[] }[] = [];
  const countOf = (node: string) => recreated.get(node) ?? 0;
  lab.api.store.subscribe(({ type, resource, object, before }) => {
    if (resource === 'pods' && type === 'DELETED') {
      const node = (object as Pod).spec?.nodeName ?? '';
      if (ofControlPlane(node)(object as Pod)) recreated.set(node, countOf(node) + 1);
    }
    if (resource !== 'nodes' || before === undefined) return;
    const isCordoned = (one: object) =>
      'spec' in one && (one.spec as { unschedulable?: boolean }).unschedulable;
    if (!isCordoned(before) || isCordoned(object)) return;
    const { name } = object.metadata;
    const pods = lab.api.store.list('pods').filter(ofControlPlane(name));
    const unready = pods.filter((pod) => !isReady(pod)).map((pod) => pod.metadata.name);
    seen.push({ node: name, recreated: countOf(name), unready });
  });
  return seen;
}

/** How often the run has asked the first node when its kubelet started. */
const asksForStart = (lab: Lab): number =>
  lab.node('k8s-master').history.filter(({ program, args }) => program === 'systemctl' && args[0] === 'show')
    .length;

const masters = threeControlPlanes.filter(({ role }) => role === 'control-plane').map(({ name }) => name);
const patch = ['run', '--target-version', '1.34.5', '--kind', 'patch', '--stages', 'preflight,master'];
const run = () => lab.cli(patch);
const recreatedAndReady = masters.map((node) => ({ node, recreated: 4, unready: [] }));

embedded.it('no control-plane node is uncordoned before its static pods are back (F69)', async () => {
  await start('3s');
  lab.api.kubelets.recreation = { after: 1_000, apiServerAway: 1_500, ready: 2_000 };
  const seen = readmissions();
  const { exitCode, stdout } = await run();
  expect(exitCode, stdout).toBe(0);
  expect(seen).toEqual(recreatedAndReady);
  expect(await drained(lab)).toEqual(masters);
});

embedded.it(
  'once the restarted kubelet has reported on every static pod, nothing more is waited for (F69)',
  async () => {
    await start('1h');
    lab.api.kubelets.recreation = { after: 50, apiServerAway: 200, ready: 1_500 };
    const seen = readmissions();
    const { exitCode, stdout } = await run();
    expect(exitCode, stdout).toBe(0);
    expect(seen).toEqual(recreatedAndReady);
  },
);

embedded.it(
  'once the restarted kubelet lists the static pods as they run, nothing more is waited for (F69)',
  async () => {
    await start('1h');
    const seen = readmissions();
    const { exitCode, stdout } = await run();
    expect(exitCode, stdout).toBe(0);
    expect(seen).toEqual(masters.map((node) => ({ node, recreated: 0, unready: [] })));
  },
);

embedded.it(
  'a node is drained once its components answer there, before its kubelet has probed them',
  async () => {
    await start('1h');
    lab.api.kubelets.probesLate = true;
    const seen = readmissions();
    const { exitCode, stdout } = await run();
    expect(exitCode, stdout).toBe(0);
    expect(seen).toEqual(masters.map((node) => ({ node, recreated: 0, unready: [] })));
    expect(await drained(lab)).toEqual(masters);
  },
);

embedded.it(
  'an executor that is killed while it waits for static pods leaves the wait to the next one (F69)',
  async () => {
    await start('3s', { nodes: labNodes.slice(0, 2) });
    lab.api.kubelets.recreation = { after: 1_000, apiServerAway: 300, ready: 2_000 };
    const seen = readmissions();
    const [executor] = await Promise.all([
      lab.spawnCli(patch),
      // Once after kubeadm, once after the restart of the kubelet.
      until('the run asks twice when the kubelet started', () => asksForStart(lab) === 2),
    ]);
    executor.kill('SIGKILL');
    await once(executor, 'close');
    await leaseHasRunOut(lab);
    const { exitCode, stdout } = await run();
    expect(exitCode, stdout).toBe(0);
    // The next executor runs the script again, so the kubelet restarts once more.
    expect(seen).toEqual([{ node: 'k8s-master', recreated: 8, unready: [] }]);
    expect(await drained(lab)).toEqual(['k8s-master']);
  },
);
