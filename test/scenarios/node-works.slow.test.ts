import { afterEach, expect, it } from 'vitest';
import { annotationKeys, objectNames } from '../../runtime/src/names.ts';
import { labNodes } from '../lab/cluster.ts';
import type { Lab } from '../lab/lab.ts';
import { changesByPrograms, cluster, drained } from './observe.ts';
import { embedded } from './start-lab.ts';

/** A node is Ready and useless (F34): its network, its DNS or an add-on does not work. */

const keys = annotationKeys('viktorbarzin.me');
const [node] = ['k8s-node1'];
const patch = ['run', '--target-version', '1.34.5', '--kind', 'patch'];

let lab: Lab;
afterEach(() => lab.stop());
const start = async (nodeReady = '10s') => {
  lab = await embedded.startLab({
    nodes: labNodes.slice(0, 3),
    settings: (base) => ({ ...base, timing: { ...base.timing, nodeReady } }),
  });
};
const run = (onLine: (line: string) => void = () => {}) => lab.cli(patch, { onLine });
const stateOf = async (name = node) => (await cluster(lab)).nodes.find((one) => one.name === name);
const checkPods = () =>
  lab.api.store.list('pods').filter(({ metadata }) => metadata.labels?.app === objectNames.nodeCheckCronJob);

/** Breaks something once the node has been drained, as by its upgrade. */
const onceDrained = (breakIt: () => void) => (line: string) => {
  if (line.includes(`${node}: drained`)) breakIt();
};

/** Each ends the run with the node cordoned, says so, and the run after the repair completes. */
const broken: [what: string, breaks: () => void, repairs: () => void, says: RegExp][] = [
  [
    'gives pods no network',
    () => lab.api.kubelets.withoutNetwork.add(node),
    () => lab.api.kubelets.withoutNetwork.delete(node),
    /pod k8s-node-check-\S+ is Pending.*, its network or volumes are not there/,
  ],
  [
    'does not resolve names',
    () => lab.api.runner.withoutDns.add(node),
    () => lab.api.runner.withoutDns.delete(node),
    /pod k8s-node-check-\S+ failed: cannot resolve kubernetes\.default\.svc: getaddrinfo EAI_AGAIN/,
  ],
  [
    'has lost the pod of a DaemonSet',
    () => {
      // The pod is deleted, and its replacement does not start.
      const flannel = (one: (typeof pods)[number]) =>
        one.spec?.nodeName === node && one.metadata.name.startsWith('kube-flannel');
      const pods = lab.api.store.list('pods');
      const pod = pods.find(flannel);
      lab.api.store.modify('pods', 'kube-system', pod?.metadata.name ?? '', (one) => {
        for (const condition of one.status?.conditions ?? [])
          if (condition.type === 'Ready') condition.status = 'False';
      });
    },
    () => {
      for (const { metadata } of lab.api.store.list('pods'))
        lab.api.store.modify('pods', 'kube-system', metadata.name, (one) => {
          for (const condition of one.status?.conditions ?? [])
            if (condition.type === 'Ready') condition.status = 'True';
        });
    },
    /DaemonSet kube-system\/kube-flannel has no Ready pod there/,
  ],
];

embedded.describe('F34: a node that is Ready after its upgrade, and', () => {
  it.each(broken)(
    '%s, stays cordoned, and the run stops',
    { timeout: 240_000 },
    async (_, breaks, repairs, says) => {
      await start();
      const { exitCode, stdout } = await run(onceDrained(breaks));
      expect([exitCode, stdout]).toEqual([1, expect.stringMatching(says)]);
      expect(stdout).toContain(`${node} stays cordoned at 1.34.5`);
      expect(await stateOf()).toMatchObject({ unschedulable: true, release: '1.34.5' });
      expect((await stateOf())?.annotations[keys.daemonSets]).toBe(
        'kube-system/kube-flannel kube-system/kube-proxy',
      );
      repairs();
      const again = await run();
      expect(again.exitCode, again.stdout).toBe(0);
      const { nodes } = await cluster(lab);
      expect(nodes.map(({ release, unschedulable }) => [release, unschedulable])).toEqual(
        nodes.map(() => ['1.34.5', false]),
      );
      const ours: readonly string[] = Object.values(keys);
      expect(
        nodes.flatMap(({ annotations }) => Object.keys(annotations)).filter((key) => ours.includes(key)),
      ).toEqual([]);
    },
  );
});

embedded.describe('F34: before a node is drained', () => {
  it('a pod that does not work there blocks the run, and nothing changes on the node', async () => {
    await start();
    lab.api.runner.withoutDns.add(node);
    const { exitCode, stdout } = await run();
    expect(exitCode, stdout).toBe(3);
    expect(stdout).toContain(`stopped before the drain of ${node}; nothing was changed there`);
    expect(stdout).toContain('cannot resolve kubernetes.default.svc');
    expect(await stateOf()).toMatchObject({ unschedulable: false, release: '1.34.2' });
    expect(await drained(lab)).not.toContain(node);
    expect(changesByPrograms(lab).filter((line) => line.startsWith(node))).toEqual([]);
    lab.api.runner.withoutDns.delete(node);
    expect((await run()).exitCode).toBe(0);
  });

  it('and after it, a pod of the pipeline runs on each node, cordoned or not', async () => {
    await start();
    const seen = new Set<string>();
    const ran = new Map<string, boolean[]>();
    lab.api.store.subscribe(({ resource, object, type }) => {
      if (resource !== 'pods' || type !== 'MODIFIED') return;
      const pod = object as ReturnType<typeof checkPods>[number];
      if (pod.metadata.labels?.app !== objectNames.nodeCheckCronJob || pod.status?.phase !== 'Succeeded')
        return;
      if (seen.has(pod.metadata.uid)) return;
      seen.add(pod.metadata.uid);
      const name = pod.spec?.nodeName ?? '';
      const isCordoned = lab.api.store.get('nodes', undefined, name)?.spec?.unschedulable === true;
      ran.set(name, [...(ran.get(name) ?? []), isCordoned]);
    });
    const { exitCode, stdout } = await run();
    expect(exitCode, stdout).toBe(0);
    expect([...ran].toSorted()).toEqual(labNodes.slice(0, 3).map(({ name }) => [name, [false, true]]));
    for (const { spec } of checkPods()) {
      expect(spec?.automountServiceAccountToken).toBe(false);
      expect(JSON.stringify(spec?.volumes)).not.toMatch(/secret|token/i);
    }
  });
});
