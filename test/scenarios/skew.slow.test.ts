import { afterEach, expect, it } from 'vitest';
import { annotationKeys } from '../../runtime/src/names.ts';
import { labNodes } from '../lab/cluster.ts';
import type { AnyLab, LabOptions } from '../lab/lab.ts';
import { cluster, drained, kubeadmOverlaps } from './observe.ts';
import { startLab } from './start-lab.ts';

/** Kubelets that are ahead of the API server, as a node is that joined with a newer package. */

const keys = annotationKeys('viktorbarzin.me');
const three = labNodes.slice(0, 3);

let lab: AnyLab;
afterEach(() => lab.stop());

/** One detection, and the run that it dispatches. */
async function upgrade(releases: NonNullable<LabOptions['releases']>, prepare = () => {}) {
  lab = await startLab({ nodes: three, releases });
  prepare();
  expect(await lab.detect()).toBe(0);
  const exitCode = await lab.agentJobEnd(lab.agentService.jobs[0]?.id);
  expect(exitCode, lab.slack.messages.at(-1)?.text).toBe(0);
  const { nodes, namespace } = await cluster(lab);
  expect(nodes.map(({ name, release, unschedulable }) => [name, release, unschedulable])).toEqual(
    three.map(({ name }) => [name, '1.34.5', false]),
  );
  expect(lab.api.version).toBe('1.34.5');
  expect(namespace[keys.inFlight]).toBeUndefined();
  expect(kubeadmOverlaps(lab)).toEqual([]);
}

it('one worker that joined with the newest patch is left as it is, and the others follow', async () => {
  await upgrade({ 'k8s-node1': '1.34.5' });
  expect(await drained(lab)).toEqual(['k8s-master', 'k8s-node2']);
});

it('where all workers did, the control plane follows', async () => {
  await upgrade({ 'k8s-node1': '1.34.5', 'k8s-node2': '1.34.5' });
  expect(await drained(lab)).toEqual(['k8s-master']);
});

it('where the kubelet of the control plane did, too, kubeadm apply is what is left', async () => {
  const all = Object.fromEntries(three.map(({ name }) => [name, '1.34.5']));
  await upgrade(all, () => {
    const master = lab.node('k8s-master');
    for (const component of ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler']) {
      const path = `/etc/kubernetes/manifests/${component}.yaml`;
      master.write(path, master.read(path).replace(':v1.34.5', ':v1.34.2'));
    }
  });
  expect(await drained(lab)).toEqual(['k8s-master']);
  const { history } = lab.node('k8s-master');
  expect(history.filter(({ args }) => args[0] === 'upgrade' && args[1] === 'apply')).toHaveLength(1);
  expect(history.filter(({ program, args }) => program === 'etcdctl' && args.includes('save'))).toHaveLength(
    1,
  );
});
