import { afterEach, expect, it } from 'vitest';
import type { RunEvent } from '../../runtime/src/report/events.ts';
import { labNodes, threeControlPlanes } from '../lab/cluster.ts';
import type { AnyLab, LabOptions } from '../lab/lab.ts';
import { cluster, drained, kubeadmOverlaps } from './observe.ts';
import { startLab } from './start-lab.ts';

/** Three control-plane nodes; that never two are down at once every lab asserts by itself. */

const patch = ['--target-version', '1.34.5', '--kind', 'patch'];

let lab: AnyLab;
afterEach(() => lab.stop());
const start = async (options: LabOptions = {}) => {
  lab = await startLab({ nodes: threeControlPlanes, ...options });
};

/** `kubeadm upgrade VERB` as it was called on each node, in the order of its start. */
const upgrades = (): string[] =>
  [...lab.nodes.values()]
    .flatMap((node) => node.history.map((run) => ({ ...run, node: node.name })))
    .filter(({ program, args }) => program === 'kubeadm' && (args[1] === 'apply' || args[1] === 'node'))
    .sort((a, b) => a.start - b.start)
    .map(({ node, args }) => `${node} ${args[1]}`);

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

const isDone = (node: string) => (event: RunEvent) =>
  event.type === 'node' && event.node === node && (event.phase === 'done' || event.phase === 'soaking');

const expectAllAt = async (release: string) => {
  const { nodes } = await cluster(lab);
  expect(nodes.map((node) => [node.name, node.release, node.unschedulable])).toEqual(
    nodes.map(({ name }) => [name, release, false]),
  );
  expect(kubeadmOverlaps(lab)).toEqual([]);
};

it('the first listed applies, the others follow; unlisted nodes come after the listed ones', async () => {
  await start({
    settings: (base) => ({ ...base, nodes: { controlPlane: ['k8s-master3'], workers: ['k8s-node2'] } }),
  });
  const { exitCode, output } = await lab.submit(JSON.stringify({ target_version: '1.34.5', kind: 'patch' }));
  expect(exitCode, output).toBe(0);
  await expectAllAt('1.34.5');
  const order = ['k8s-master3', 'k8s-master', 'k8s-master2', 'k8s-node2', 'k8s-node1'];
  expect(upgrades()).toEqual(order.map((name, i) => `${name} ${i === 0 ? 'apply' : 'node'}`));
  expect(await drained(lab)).toEqual(order);
});

it('an unhealthy etcd member after the first node stops the rollout and is named; once repaired, the next run continues', async () => {
  await start();
  const onLine = when(isDone('k8s-master'), () => lab.node('k8s-master3').faults.set('etcd-unhealthy', {}));
  const { exitCode, stdout } = await lab.cli(['run', ...patch], { onLine });
  expect(exitCode).toBe(3);
  expect(stdout).toContain('stopped before the control-plane node k8s-master2');
  expect(stdout).toContain("etcd's member on k8s-master3 is not healthy");
  expect(await drained(lab)).toEqual(['k8s-master']);
  lab.node('k8s-master3').faults.clear('etcd-unhealthy');
  const second = await lab.cli(['run', ...patch]);
  expect(second.exitCode, second.stdout).toBe(0);
  await expectAllAt('1.34.5');
  expect(upgrades().slice(0, 3)).toEqual(['k8s-master apply', 'k8s-master2 node', 'k8s-master3 node']);
});

it('a control-plane node that fails in its script stops the rollout while the other two serve; the next run finishes it first', async () => {
  await start();
  lab.node('k8s-master2').faults.set('kubeadm-fails', { times: 99 });
  const first = await lab.cli(['run', ...patch]);
  expect(first.exitCode).toBe(1);
  expect(first.stdout).toContain('k8s-master2 serves on');
  expect(await drained(lab)).toEqual(['k8s-master']);
  lab.node('k8s-master2').faults.clear('kubeadm-fails');
  const second = await lab.cli(['run', ...patch]);
  expect(second.exitCode, second.stdout).toBe(0);
  await expectAllAt('1.34.5');
  expect((await drained(lab)).filter((name) => name === 'k8s-master2')).toHaveLength(1);
});

it('nodes that join in the middle are upgraded, those that vanish are not waited for (F26)', async () => {
  const nodes = [...threeControlPlanes, ...labNodes.slice(3, 4)];
  await start({ nodes, settings: (base) => ({ ...base, nodes: {} }) });
  const later = [await lab.api.leave('k8s-master3'), await lab.api.leave('k8s-node2')];
  await lab.api.settled();
  const joins = when(isDone('k8s-master'), () => Promise.all(later.map((node) => lab.api.join(node))));
  const vanishes = when(isDone('k8s-master2'), () => lab.api.leave('k8s-node1'));
  const onLine = (line: string) => [joins, vanishes].forEach((each) => void each(line));
  const { exitCode, stdout } = await lab.cli(['run', ...patch], { onLine });
  expect(exitCode, stdout).toBe(0);
  await expectAllAt('1.34.5');
  expect(upgrades()).toEqual([
    'k8s-master apply',
    'k8s-master2 node',
    'k8s-master3 node',
    'k8s-node2 node',
    'k8s-node3 node',
  ]);
});
