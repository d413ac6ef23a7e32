import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { exitCodes } from '../../runtime/src/errors.ts';
import { annotationKeys } from '../../runtime/src/names.ts';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import type { KubeObject, Pod } from '../lab/api/types.ts';
import { until } from '../lab/waits.ts';
import { KubeadmCluster, unready } from './cluster.ts';
import { podRange } from './node.ts';
import { Pipeline } from './pipeline.ts';
import { productImage } from './product-image.ts';
import { firstRevision, type NodesAre, type Revision } from './revisions.ts';
import { slowDownKubelet } from './slow-kubelet.ts';
import { expectedState, stateOf } from './state.ts';
import { startWorkload, web } from './workload.ts';

const [from, target] = ['1.34.2', '1.34.4'];
const master = 'k8s-master';

/** @param atEnd is given what stops each part. @default stops it after the test that calls this */
async function start(
  settings?: (base: SettingsInput) => SettingsInput,
  atEnd: (stop: () => Promise<void>) => void = onTestFinished,
): Promise<{ cluster: KubeadmCluster; pipeline: Pipeline }> {
  const cluster = await KubeadmCluster.start({ release: from, later: [target] });
  atEnd(() => cluster.stop());
  const pipeline = await Pipeline.deploy(cluster, { image: productImage(), settings });
  atEnd(() => pipeline.stop());
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

describe('F34: a node is Ready after its upgrade, and its pods reach nothing', () => {
  it('it stays cordoned, no other follows, and the run after the repair completes', {
    timeout: 900_000,
  }, async () => {
    const { cluster, pipeline } = await start((base) => ({
      ...base,
      timing: { ...base.timing, nodeReady: '90s' },
    }));
    await cluster.publish(target);
    await pipeline.detect();
    const { nodes } = await firstRevision(cluster, nextIsDrained);
    const node = workers.find((name) => isCordoned(nodes, name)) ?? '';
    const others = workers.filter((name) => name !== node);
    const ofItsPods = podRange([master, ...workers].indexOf(node));
    const rule = ['PREROUTING', '-s', ofItsPods, '-j', 'DROP'];
    await cluster.node(node).exec('iptables', '-t', 'raw', '-I', ...rule);
    const { metadata } = await pipeline.failed();
    const story = await pipeline.story();
    const said = pipeline.slack.messages.map(({ text }) => text).findLast((text) => text.includes('failed'));
    expect(said, story).toMatch(/cannot reach the API server through its Service/);
    expect(said, story).toContain(`${node} stays cordoned at ${target}`);
    const last = (await firstRevision(cluster, () => true)).nodes;
    expect(unready([...last.values()]), story).toEqual([]);
    expect(
      [node, ...others].map((name) => isCordoned(last, name)),
      story,
    ).toEqual([true, false]);
    const releases = [node, ...others].map((name) => last.get(name)?.status?.nodeInfo?.kubeletVersion);
    expect(releases, story).toEqual([`v${target}`, `v${from}`]);
    await cluster.node(node).exec('iptables', '-t', 'raw', '-D', ...rule);
    await pipeline.detect();
    await pipeline.completed([metadata.name]);
    await cluster.ready();
    expect(await stateOf(cluster), await pipeline.story()).toEqual(await expectedState(cluster, target));
  });
});

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

/** Pods that have the labels of the control plane and are not of it. */
const foreignPods: readonly KubeObject[] = [
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'kube-apiserver',
      namespace: 'default',
      labels: { tier: 'control-plane', component: 'kube-apiserver' },
    },
    // The kubelet ends it. Then it is Failed until its node is drained, which is the last one to be.
    spec: { nodeName: 'k8s-node2', activeDeadlineSeconds: 1, containers: [web] },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'cloud', namespace: 'kube-system' },
    spec: {
      selector: { matchLabels: { app: 'cloud' } },
      template: {
        metadata: { labels: { app: 'cloud', tier: 'control-plane', component: 'cloud-controller-manager' } },
        spec: {
          nodeSelector: { 'node-role.kubernetes.io/control-plane': '' },
          // Nothing listens there, so it is never Ready.
          containers: [{ ...web, readinessProbe: { tcpSocket: { port: 1 } } }],
        },
      },
    },
  },
];

describe('F33 F35 F39 F47: what others have done to a cluster before its upgrade', () => {
  const patches = '/etc/kubernetes/patches';
  const kubelet = '/var/lib/kubelet/config.yaml';
  const scheduler = '/etc/kubernetes/manifests/kube-scheduler.yaml';
  const keys = annotationKeys('viktorbarzin.me');
  const cordoned = 'k8s-node1';
  const edited = 'k8s-node2';
  const inSystem = '--namespace=kube-system';
  const selectProxy = (value: string) => {
    const template = `{"spec":{"template":{"spec":{"nodeSelector":{"example.com/off":${value}}}}}}`;
    return cluster.kubectl(inSystem, 'patch', 'daemonset/kube-proxy', '--type=merge', `--patch=${template}`);
  };
  const schedulerPod = (): Promise<Pod> =>
    cluster.rest.get(`/api/v1/namespaces/kube-system/pods/kube-scheduler-${master}`);
  let cluster: KubeadmCluster;
  let pipeline: Pipeline;
  const stops: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    const atEnd = (stop: () => Promise<void>) => stops.push(stop);
    ({ cluster, pipeline } = await start((base) => ({ ...base, kubeadm: { patches } }), atEnd));
    for (const node of cluster.nodes) await node.exec('mkdir', '-p', patches);
    await cluster.publish(target);
  });
  afterAll(async () => {
    for (const stop of stops.toReversed()) await stop();
  });

  /** An earlier rollout has left its marks on two nodes, one of which a person has cordoned since. */
  async function cordonWithStaleMark(): Promise<void> {
    const marks = [keys.cordoned, keys.soaking].map((key) => `${key}=2026-01-04T12:00:00.000Z`);
    await cluster.kubectl('annotate', 'node', cordoned, edited, ...marks);
    // Otherwise only one node takes the workload, and cannot be drained.
    await cluster.kubectl('taint', 'node', master, 'node-role.kubernetes.io/control-plane-');
    await cluster.kubectl('cordon', cordoned);
  }

  async function startForeignPods(): Promise<void> {
    await cluster.rest.create(foreignPods);
    const isFailed = async () => {
      const { status } = await cluster.rest.get('/api/v1/namespaces/default/pods/kube-apiserver');
      return status?.phase === 'Failed';
    };
    await until('the pod that is not of the control plane has failed', isFailed);
  }

  let refused: string;
  it('F33 F35 F39: the run is refused for what kubeadm would undo, and for nothing else', async () => {
    await cordonWithStaleMark();
    await startForeignPods();
    const [first, other] = [cluster.node(master), cluster.node(edited)];
    await other.write(kubelet, `${other.read(kubelet)}maxPods: 200\n`);
    await other.exec('systemctl', 'restart', 'kubelet');
    const aliases = '  hostAliases: [{ip: 192.0.2.1, hostnames: [a]}]\n';
    await first.write(scheduler, first.read(scheduler).replace('  hostNetwork', `${aliases}  hostNetwork`));
    await selectProxy('"true"');
    await until('the kubelet has recreated the scheduler', async () => {
      const pod = await schedulerPod();
      return pod.spec?.hostAliases?.length === 1 && unready([pod]).length === 0;
    });
    await pipeline.detect();
    const { metadata } = await pipeline.failed();
    refused = metadata.name;
    const pods = await pipeline.podsOf(refused);
    expect(pods.map(exitCodeOf), await pipeline.story()).toEqual([exitCodes.blocked]);
    const messages = pipeline.slack.messages.map(({ text }) => text);
    const reasons = messages.flatMap((text) => text.split('\n')).filter((line) => line.startsWith('  - '));
    expect(reasons.map((reason) => reason.split(';')[0]).toSorted(), messages.join('\n')).toEqual([
      '  - kubeadm-addons: kubeadm would drop kube-proxy nodeSelector.example.com/off in the DaemonSet kube-proxy',
      '  - kubeadm-changes: on k8s-master kubeadm would drop kube-scheduler hostAliases',
      '  - kubeadm-changes: on k8s-node2 kubeadm would drop kubelet maxPods 200',
    ]);
  });

  it('F33 F35: the next run completes once they are in patches or undone', { timeout: 900_000 }, async () => {
    await cluster.node(edited).write(`${patches}/kubeletconfiguration+merge.yaml`, 'maxPods: 200\n');
    await cluster
      .node(master)
      .write(`${patches}/kube-scheduler.yaml`, 'spec: {hostAliases: [{ip: 192.0.2.1, hostnames: [a]}]}\n');
    await selectProxy('null');
    await cluster.kubectl(inSystem, 'rollout', 'status', 'daemonset/kube-proxy');
    await pipeline.detect();
    await pipeline.completed([refused]);
  });

  it("F39: somebody else's pod in kube-system was not Ready all the while", async () => {
    const { items } = await cluster.rest.get('/api/v1/namespaces/kube-system/pods?labelSelector=app%3Dcloud');
    const [pod, ...others] = items as Pod[];
    expect(others).toEqual([]);
    expect(pod?.metadata.labels?.tier).toBe('control-plane');
    await until('it alone is not Ready', async () => {
      const all = await cluster.rest.get('/api/v1/pods');
      return unready(all.items).join(' ') === pod?.metadata.name;
    });
    await cluster.kubectl(inSystem, 'delete', 'daemonset/cloud', '--cascade=foreground');
    await cluster.ready();
  });

  it('F47: every node is upgraded, the cordon is still there, and the old marks are not', async () => {
    const story = await pipeline.story();
    expect(await stateOf(cluster), story).toEqual(await expectedState(cluster, target, [cordoned]));
    expect(pipeline.slack.messages.map(({ text }) => text).join('\n')).toContain(
      `node ${cordoned} was cordoned by an earlier rollout or, after it, by a person, and stays cordoned`,
    );
  });

  it('F35: what the patches say is in effect', async () => {
    const { status } = await cluster.rest.get(`/api/v1/nodes/${edited}`);
    expect(status.capacity.pods).toBe('200');
    expect((await schedulerPod()).spec?.hostAliases).toEqual([{ ip: '192.0.2.1', hostnames: ['a'] }]);
  });
});
