import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { exitCodes } from '../../runtime/src/errors.ts';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import type { Pod } from '../lab/api/types.ts';
import { KubeadmCluster, unready } from './cluster.ts';
import { Pipeline } from './pipeline.ts';
import { productImage } from './product-image.ts';
import { firstRevision, type NodesAre, type Revision } from './revisions.ts';
import { slowDownKubelet } from './slow-kubelet.ts';
import { expectedState, stateOf } from './state.ts';
import { startWorkload } from './workload.ts';

const [from, target] = ['1.34.2', '1.34.4'];
const master = 'k8s-master';

async function start(
  settings?: (base: SettingsInput) => SettingsInput,
): Promise<{ cluster: KubeadmCluster; pipeline: Pipeline }> {
  const cluster = await KubeadmCluster.start({ release: from, later: [target] });
  onTestFinished(() => cluster.stop());
  const pipeline = await Pipeline.deploy(cluster, { image: productImage(), settings });
  onTestFinished(() => pipeline.stop());
  await startWorkload(cluster);
  return { cluster, pipeline };
}

describe('F70: the packages of the target are published and its images are not', () => {
  it("F70 F47: the run is blocked before a node changes; the next one completes and keeps a person's cordon", {
    timeout: 900_000,
  }, async () => {
    const { cluster, pipeline } = await start();
    await cluster.kubectl('cordon', master);
    const before = { ...(await stateOf(cluster)), pods: await podsOf(cluster) };
    await cluster.publish(target, { images: false });
    await pipeline.detect();
    const { metadata } = await pipeline.failed();
    const story = await pipeline.story();
    const pods = await pipeline.podsOf(metadata.name);
    expect(pods.map(exitCodeOf), story).toEqual([exitCodes.blocked]);
    // The rollout stays in flight, so that the next run continues it with the snapshot that it has.
    expect({ ...(await stateOf(cluster)), pods: await podsOf(cluster) }, story).toEqual({
      ...before,
      inFlight: expect.any(String),
    });
    const [message, ...others] = pipeline.slack.messages
      .map(({ text }) => text)
      .filter((text) => text.includes('could not be pulled'));
    const names = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy'];
    const images = names.map((name) => `${name}:v${target}`).join(', ');
    const [first, reason = ''] = message?.split('\n') ?? [];
    expect(first).toBe(
      `:no_entry: Kubernetes ${target}: blocked: stopped before the drain of ${master}; nothing was changed there:`,
    );
    expect(reason).toContain(`  - 4 images could not be pulled: ${images}: `);
    expect(reason.length, reason).toBeLessThanOrEqual(304);
    expect(others).toEqual([]);
    await cluster.publish(target);
    await pipeline.detect();
    await pipeline.completed([metadata.name]);
    await cluster.ready();
    expect(await stateOf(cluster), await pipeline.story()).toEqual(
      await expectedState(cluster, target, [master]),
    );
  });
});

const exitCodeOf = ({ status }: Pod) => status?.containerStatuses?.[0]?.state?.terminated?.exitCode;

/** Every pod that is not the pipeline's, with the containers that it runs. */
async function podsOf(cluster: KubeadmCluster): Promise<string[]> {
  const { items } = await cluster.rest.get('/api/v1/pods');
  return (items as Pod[])
    .filter(({ metadata }) => ['kube-system', 'default'].includes(metadata.namespace ?? ''))
    .map(({ metadata, spec, status }) =>
      [metadata.name, spec?.nodeName, status?.containerStatuses?.map((one) => one.containerID)].join(' '),
    )
    .toSorted();
}

const workers = ['k8s-node1', 'k8s-node2'];

const isCordoned = (nodes: Revision['nodes'], name: string) => nodes.get(name)?.spec?.unschedulable === true;
const isDrained: NodesAre = (nodes) => isCordoned(nodes, master);
const isReadmitted: NodesAre = (nodes) => !isCordoned(nodes, master);
const nextIsDrained: NodesAre = (nodes) => workers.some((name) => isCordoned(nodes, name));
const isReadyAtTarget: NodesAre = (nodes) => {
  const { status } = nodes.get(master) ?? {};
  return status?.nodeInfo?.kubeletVersion === `v${target}` && unready([...nodes.values()]).length === 0;
};

describe('F69: the restarted kubelet of the control plane is late to recreate its static pods', () => {
  it('they are back before the node is readmitted and another is drained', { timeout: 900_000 }, async () => {
    const { cluster, pipeline } = await start();
    const release = await slowDownKubelet(cluster.node(master), target);
    await cluster.publish(target);
    await pipeline.detect();
    const ended = pipeline.completed();
    const seen = async () => {
      const drained = await firstRevision(cluster, isDrained);
      const reported = firstRevision(cluster, isReadyAtTarget).then(async (revision) => {
        await sleep(8000);
        await release();
        return revision;
      });
      const [ready, readmitted] = await Promise.all([reported, firstRevision(cluster, isReadmitted)]);
      return { drained, ready, readmitted, next: await firstRevision(cluster, nextIsDrained) };
    };
    const tooEarly = ended.then(() => Promise.reject(new Error('completed too early')));
    const { drained, ready, readmitted, next } = await Promise.race([seen(), tooEarly]);
    await ended;
    await cluster.ready();
    const story = await pipeline.story();
    const last = await firstRevision(cluster, () => true);
    // The kubelet was late: by then the node was Ready, and its static pods were those of the kubelet before.
    expect(uidsOf(ready), story).toEqual(uidsOf(drained));
    for (const uid of uidsOf(last)) expect(uidsOf(drained)).not.toContain(uid);
    for (const revision of [readmitted, next]) {
      expect(uidsOf(revision), story).toEqual(uidsOf(last));
      expect(unready(revision.staticPods), story).toEqual([]);
    }
    expect(nextIsDrained(readmitted.nodes)).toBe(false);
    expect(await stateOf(cluster), story).toEqual(await expectedState(cluster, target));
  });
});

/** The static pods by what a kubelet changes when it recreates one. */
const uidsOf = ({ staticPods }: Revision): string[] =>
  staticPods.map(({ metadata }) => metadata.uid).toSorted();

describe('F33 F35: somebody has changed what kubeadm writes', () => {
  const patches = '/etc/kubernetes/patches';
  const kubelet = '/var/lib/kubelet/config.yaml';
  const scheduler = '/etc/kubernetes/manifests/kube-scheduler.yaml';

  it('the run is refused by each change, and keeps what is in a patch', { timeout: 900_000 }, async () => {
    const { cluster, pipeline } = await start((base) => ({ ...base, kubeadm: { patches } }));
    const [first, edited] = [cluster.node(master), cluster.node('k8s-node2')];
    for (const node of cluster.nodes) await node.exec('mkdir', '-p', patches);
    await edited.write(kubelet, `${edited.read(kubelet)}maxPods: 200\n`);
    await edited.exec('systemctl', 'restart', 'kubelet');
    const manifest = first.read(scheduler);
    await first.write(
      scheduler,
      manifest.replace('  hostNetwork', '  hostAliases: [{ip: 192.0.2.1, hostnames: [a]}]\n  hostNetwork'),
    );
    const proxy = ['--namespace=kube-system', 'patch', 'daemonset', 'kube-proxy', '--type=merge', '--patch'];
    const selector = (value: string) =>
      `{"spec":{"template":{"spec":{"nodeSelector":{"example.com/off":${value}}}}}}`;
    await cluster.kubectl(...proxy, selector('"true"'));
    await cluster.publish(target);
    await pipeline.detect();
    const { metadata } = await pipeline.failed();
    const [pod] = await pipeline.podsOf(metadata.name);
    const story = await pipeline.story();
    expect(pod && exitCodeOf(pod), story).toBe(exitCodes.blocked);
    for (const reason of [
      'on k8s-node2 kubeadm would drop kubelet maxPods 200',
      'on k8s-master kubeadm would drop kube-scheduler hostAliases',
      'kubeadm would drop kube-proxy nodeSelector.example.com/off',
    ])
      expect(pipeline.slack.messages.map(({ text }) => text).join(' ')).toContain(reason);

    await edited.write(`${patches}/kubeletconfiguration+merge.yaml`, 'maxPods: 200\n');
    await first.write(
      `${patches}/kube-scheduler.yaml`,
      'spec: {hostAliases: [{ip: 192.0.2.1, hostnames: [a]}]}\n',
    );
    await cluster.kubectl(...proxy, selector('null'));
    await cluster.ready();
    await pipeline.detect();
    await pipeline.completed([metadata.name]);
    await cluster.ready();
    expect(await stateOf(cluster), await pipeline.story()).toEqual(await expectedState(cluster, target));
    const { status } = await cluster.rest.get('/api/v1/nodes/k8s-node2');
    expect(status.capacity.pods).toBe('200');
    const { spec } = await cluster.rest.get(`/api/v1/namespaces/kube-system/pods/kube-scheduler-${master}`);
    expect(spec.hostAliases).toEqual([{ ip: '192.0.2.1', hostnames: ['a'] }]);
  });
});
