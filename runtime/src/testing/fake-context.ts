import type { V1Pod } from '@kubernetes/client-node';
import { componentOf, ownComponents } from '../cluster/control-plane-pods.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import type { InputError } from '../errors.ts';
import { annotationKeys } from '../names.ts';
import type { Alert, AlertRule, PendingAlert } from '../prometheus/alerts.ts';
import { parseRelease, type Release } from '../release.ts';
import { Report, type RunEvent } from '../report/events.ts';
import type { InFlight } from '../rollout/journal.ts';
import { withTargetImage } from '../rollout/remaining.ts';
import { requestOf } from '../rollout/request.ts';
import type { SettingsInput } from '../settings/settings.ts';
import type { Snapshot } from '../ssh/snapshots.ts';
import type { Context } from '../upgrade/context.ts';
import { pause, TimeoutError } from '../wait.ts';
import { clusterNode, componentPod, controlPlaneTaint, packagesOf, testSettings } from './cluster.ts';
import { previewOutput } from './preview.ts';

const release = (text: string): Release => parseRelease('test', text);
const keys = annotationKeys('viktorbarzin.me');
const wordsOf = (text: string | null | undefined) => text?.split(' ').filter(Boolean) ?? [];
const time = (text: string | null | undefined) => (text ? Date.parse(text) : undefined);

/** A control-plane node, `k8s-master` unless changed. */
export const master = (change: Partial<ClusterNode> = {}): ClusterNode =>
  clusterNode('k8s-master', { controlPlane: true, taints: [controlPlaneTaint], ...change });

/** A cluster in memory. */
export interface FakeCluster {
  /** As the API lists them. */
  nodes: ClusterNode[];
  /** The release of the API server. */
  server: Release;
  /** What the in-flight annotations hold. */
  inFlight: InFlight | undefined;
  /** The reason of the kill switch; undefined: it is not set. */
  killSwitch: string | undefined;
  /** @default the Ready pods of each control-plane node */
  pods: V1Pod[];
  /** Errors of nodes that cannot be read. */
  unreadable: InputError[];
  /** The firing alerts of Prometheus' answer; throw for none. */
  firing: () => Promise<Alert[]>;
  /** The pending alerts of the same answer. */
  pending: () => PendingAlert[];
  /** The rules of the same answer. @default one, whose `for` is 15 minutes */
  rules: AlertRule[];
  /** When Prometheus started. @default long ago */
  prometheusStart: () => number | undefined;
  /** Called during the drain of a node, after its cordon; throw to fail. */
  onDrain: (node: string, cordon: () => Promise<unknown>) => Promise<void>;
  /** Called for each preparation of a node; throw to fail. */
  onPrepare: (node: string) => Promise<void>;
  /**
   * Called for each other script, after it is recorded in `effects` but before it changes the node; throw to
   * fail.
   */
  onScript: (node: string, name: string, args: readonly string[]) => Promise<void>;
  /**
   * Called when a pod is to be tried on a node; adds the pod, and returns the name of its Job. @default there
   * is no template, and so no Job
   */
  onNodeCheck: (node: string) => string | undefined;
  /** Called when the run waits for the static pods of a node; throw to fail. */
  onStaticPods: (node: string) => Promise<void>;
  /** The result of a snapshot; throw to fail. */
  takeSnapshot: () => Promise<Snapshot | undefined>;
  /** Whether the snapshot at this path verifies. */
  verifySnapshot: (path: string) => Promise<boolean>;
  /** Every write to the cluster, in order: `k8s-node1 drain`. */
  readonly effects: string[];
  /** Every event that the run emits, in order. */
  readonly events: RunEvent[];
  /** Changes a node of that name. */
  change(name: string, change: Partial<ClusterNode>): void;
  /** @throws when there is no node of that name. */
  node(name: string): ClusterNode;
}

/** What differs from a patch run of every stage over three nodes. */
export interface FakeOptions {
  /** @default k8s-master, k8s-node2 and k8s-node1 at 1.34.2 */
  readonly nodes?: ClusterNode[];
  /** @default 1.34.5 */
  readonly target?: string;
  /** @default patch */
  readonly kind?: 'patch' | 'minor';
  /** Names separated by commas, or `all`. @default all */
  readonly stages?: string;
  /** The release of the API server. @default that of the first node */
  readonly server?: string;
  /** A rollout that started a minute ago. @default none */
  readonly inFlight?: Partial<InFlight>;
  /** The node that the process runs on. @default none */
  readonly ownNode?: string;
  /** Replace those of the fake, which has very short times, and no soak of the control plane. */
  readonly settings?: Partial<SettingsInput>;
  /** @default one that is never aborted */
  readonly signal?: AbortSignal;
}

const startedAt = () => Date.now() - 60_000;

/** A patch rollout to 1.34.5 without a snapshot. @param at its start, in ms since the epoch. */
export function inFlightSince(at: number, change: Partial<InFlight> = {}): InFlight {
  const started = new Date(at).toISOString();
  return {
    started,
    startedAt: at,
    target: release('1.34.5'),
    kind: 'patch',
    snapshotPath: undefined,
    unready: new Set(),
    ...change,
  };
}

const controlPlaneOf = (node: string, server: string): V1Pod[] => [
  componentPod('etcd', node, 'registry.k8s.io/etcd:3.6.5-0'),
  ...ownComponents.map((name) => componentPod(name, node, `registry.k8s.io/${name}:v${server}`)),
];

/** A context over a cluster in memory: a run 1.34.2 → 1.34.5 over three nodes, unless the options differ. */
export function fakeContext(options: FakeOptions = {}): { ctx: Context; fake: FakeCluster } {
  const {
    target = '1.34.5',
    kind = 'patch',
    stages = 'all',
    signal = new AbortController().signal,
  } = options;
  const request = requestOf({ target_version: target, kind, stages });
  const nodes = options.nodes ?? [master(), clusterNode('k8s-node2'), clusterNode('k8s-node1')];
  const settings = testSettings({
    nodes: { workers: nodes.filter((node) => !node.controlPlane).map((node) => node.name) },
    gates: { alertWait: '30ms', alertInterval: '5ms' },
    ...options.settings,
    timing: { soak: '20ms', controlPlaneSoak: '0s', nodeReady: '50ms', ...options.settings?.timing },
  });
  const fake: FakeCluster = {
    nodes,
    server: release(options.server ?? nodes[0]?.release ?? '1.34.2'),
    inFlight: options.inFlight && inFlightSince(startedAt(), options.inFlight),
    killSwitch: undefined,
    pods: nodes
      .filter((node) => node.controlPlane)
      .flatMap((node) => controlPlaneOf(node.name, options.server ?? node.release)),
    firing: async () => [],
    pending: () => [],
    rules: [{ name: 'ClusterPodReadyRatioDropped', holdsFor: 900_000, evaluated: true }],
    prometheusStart: () => 0,
    unreadable: [],
    onDrain: async () => {},
    onPrepare: async () => {},
    onScript: async () => {},
    onNodeCheck: () => undefined,
    onStaticPods: async () => {},
    takeSnapshot: async () => ({
      path: '/backup/new.db',
      hash: 'ff',
      revision: 1,
      totalKey: 1,
      totalSize: 1,
    }),
    verifySnapshot: async () => true,
    effects: [],
    events: [],
    change(name, change) {
      fake.nodes = fake.nodes.map((node) => (node.name === name ? { ...node, ...change } : node));
    },
    node(name) {
      const found = fake.nodes.find((one) => one.name === name);
      if (found === undefined) throw new Error(`no node ${name}`);
      return found;
    },
  };
  const report = new Report((_sink, error) => {
    throw error;
  });
  report.add({ name: 'test', handle: (event) => void fake.events.push(event) });
  const ctx: Context = {
    settings,
    request,
    signal,
    report,
    ownNode: options.ownNode,
    client: fakeClient(signal, request.target),
    alerts: {
      read: async () => ({
        firing: await fake.firing(),
        pending: fake.pending(),
        rules: fake.rules,
        startedAt: fake.prometheusStart(),
      }),
    },
    metrics: { query: async () => nodes.map(({ name }) => ({ labels: { instance: name }, value: 0 })) },
    repository: {
      hasMinor: async () => true,
      packages: async () => packagesOf(request.target),
    },
    killSwitch: { reason: async () => fake.killSwitch },
    ...reading(fake),
    ...writing(fake, request.target),
  };
  return { ctx, fake };
}

/** The output of kubelet_facts.sh on an ordinary node. */
const ordinaryKubelet = 'cgroup v2\nfile /var/lib/kubelet/config.yaml e30K\nend';

/** The last line of list_images.sh. */
const imagesOf = (target: Release) => {
  const own = [...ownComponents, 'kube-proxy'].map((name) => `"registry.k8s.io/${name}:v${target}"`);
  return `result: {"images":[${own.join()},"registry.k8s.io/coredns/coredns:v1.12.1","registry.k8s.io/etcd:3.6.5-0"]}`;
};

/** An add-on as kubeadm has upgraded it. */
const workload = (name: string, tag: string) => ({
  spec: { template: { spec: { containers: [{ name, image: `registry.k8s.io/${name}:${tag}` }] } } },
});

/** Long ago: what the nodes report is younger. */
const kubeletStart = 'ExecMainStartTimestamp=Wed 2020-01-01 00:00:00 UTC';

/** The answers of crictl and etcdctl with a healthy etcd member on every control-plane node. */
function etcdAnswer(words: readonly string[], nodes: readonly ClusterNode[]): string {
  if (words[1] === 'ps') return '3f2a9c0d1e77';
  const members = nodes.filter((node) => node.controlPlane);
  return JSON.stringify(
    members.map(({ address }) => ({ endpoint: `https://${address}:2379`, health: true })),
  );
}

/** kubeadm's configuration of a cluster with neither kube-proxy nor CoreDNS. */
const withoutAddOns = 'apiVersion: kubeadm.k8s.io/v1beta4\nproxy: {disabled: true}\ndns: {disabled: true}\n';

/** The part of the client that gates use directly. No node has pods that a drain would evict. */
const fakeClient = (signal: AbortSignal, target: Release): Context['client'] =>
  ({
    options: { signal },
    call: (_what: string, request: () => Promise<unknown>) => request(),
    core: {
      listPodForAllNamespaces: async () => ({ items: [] }),
      readNamespacedConfigMap: async () => ({ data: { ClusterConfiguration: withoutAddOns } }),
    },
    apps: {
      readNamespacedDeployment: async () => workload('coredns', 'v1.12.1'),
      readNamespacedDaemonSet: async () => workload('kube-proxy', `v${target}`),
      listNamespacedDeployment: async () => ({ items: [] }),
    },
  }) as unknown as Context['client'];

function reading(fake: FakeCluster): Pick<Context, 'cluster'> {
  return {
    cluster: {
      serverRelease: async () => fake.server,
      nodes: async () => fake.nodes,
      unreadableNodes: async () => fake.unreadable,
      apiServers: async () => fake.pods.filter((pod) => componentOf(pod) === 'kube-apiserver'),
      pods: async () => fake.pods,
      podsOn: async (node) => fake.pods.filter(({ spec }) => spec?.nodeName === node),
      async waitForPodsOn(node, what, done, _wait, pending) {
        const pods = fake.pods.filter(({ spec }) => spec?.nodeName === node);
        if (!(await done(pods))) throw new TimeoutError(what, 50, pending());
      },
      daemonSetExists: async () => true,
      budgets: async () => [],
      async waitForNode(name, what, done) {
        if (!done(fake.node(name))) throw new TimeoutError(what, 50);
      },
      observe: async () => ({ next: (wait) => pause(Number.POSITIVE_INFINITY, wait) }),
      waitForStaticPods: ({ node }) => fake.onStaticPods(node),
    },
  };
}

function writing(
  fake: FakeCluster,
  target: Release,
): Pick<Context, 'writer' | 'journal' | 'shell' | 'snapshots' | 'drain' | 'nodeCheck' | 'startNextJob'> {
  const record = (effect: string) => void fake.effects.push(effect);
  return {
    writer: {
      async patchNode(name, annotations, unschedulable) {
        const words = Object.entries(annotations).map(
          ([key, value]) => `${key.replace(/^.*upgrade-/, '')}${value === null ? '-' : ''}`,
        );
        record(
          [
            name,
            unschedulable === undefined ? 'annotate' : unschedulable ? 'cordon' : 'uncordon',
            ...words,
          ].join(' '),
        );
        const { cordonedByUs, changedAt, daemonSets, unfinished, kubeadmOnly, soakingSince, stale } =
          fake.node(name);
        const timeIn = (key: string, before: number | undefined) =>
          key in annotations ? time(annotations[key]) : before;
        fake.change(name, {
          cordonedByUs: keys.cordoned in annotations ? annotations[keys.cordoned] !== null : cordonedByUs,
          changedAt: timeIn(keys.changed, changedAt),
          daemonSets: keys.daemonSets in annotations ? wordsOf(annotations[keys.daemonSets]) : daemonSets,
          unfinished: keys.unfinished in annotations ? annotations[keys.unfinished] !== null : unfinished,
          kubeadmOnly:
            keys.unfinished in annotations ? annotations[keys.unfinished] === 'kubeadm' : kubeadmOnly,
          soakingSince: timeIn(keys.soaking, soakingSince),
          stale: stale.filter((key) => !(key in annotations)),
          ...(unschedulable !== undefined && { unschedulable }),
        });
      },
      patchNamespace: async () => record('patch namespace'),
      evict: async () => record('evict'),
      deletePod: async () => record('delete pod'),
      createJob: async (job) => job,
      createEvent: async () => {},
    },
    journal: {
      read: async () => fake.inFlight,
      async begin(wanted, kind, isUnfinished, { unready, addOns } = { unready: [], addOns: undefined }) {
        const { inFlight } = fake;
        if (inFlight?.target === wanted && inFlight.kind === kind) return inFlight;
        record(`journal begin ${wanted} ${kind}`);
        fake.inFlight = inFlightSince(Date.now(), {
          unready: new Set(unready),
          addOns,
          ...(isUnfinished && inFlight),
          target: wanted,
          kind,
        });
        return fake.inFlight;
      },
      async recordSnapshot(path) {
        if (fake.inFlight === undefined) return;
        record(`journal snapshot ${path}`);
        fake.inFlight = { ...fake.inFlight, snapshotPath: path };
      },
      acknowledge: async () => record('journal acknowledge'),
      async clear() {
        record('journal clear');
        fake.inFlight = undefined;
      },
    },
    shell: {
      async read(_node, words) {
        if (words[0] === 'crictl') return { code: 0, output: etcdAnswer(words, fake.nodes) };
        if (words[0] === 'env') return { code: 0, output: kubeletStart };
        if (words.at(-1) === '--') return { code: 0, output: previewOutput() };
        if (words[3] === '--release') return { code: 0, output: imagesOf(target) };
        if (words[0] === 'bash') return { code: 0, output: ordinaryKubelet };
        return { code: 0, output: words[2] === 'plan' ? `kubeadm upgrade apply v${target}` : '' };
      },
      waitForEnd: async (node, name) => record(`${node.name} ${name} ended`),
      async script({ name: node }, name, args) {
        // Changes nothing on the node.
        if (name === 'list_packages') return { versions: [`${target}-1.1`] };
        if (args[0] === '--prepare') {
          record(`${node} prepare ${args.slice(1).join(' ')}`);
          await fake.onPrepare(node);
          return {};
        }
        record(`${node} ${name} ${args.join(' ')}`);
        await fake.onScript(node, name, args);
        if (name !== 'update_k8s') return {};
        if (!args.includes('kubeadm')) fake.change(node, { release: target });
        fake.pods = fake.pods.map((pod) =>
          pod.spec?.nodeName === node ? withTargetImage(pod, target) : pod,
        );
        if (args.includes('master')) fake.server = target;
        return {};
      },
    },
    snapshots: {
      async take({ name: node }, wanted) {
        record(`${node} snapshot before ${wanted}`);
        return fake.takeSnapshot();
      },
      verify: (_node, path) => fake.verifySnapshot(path),
    },
    async drain(node, cordon) {
      await cordon();
      record(`${node.name} drain`);
      await fake.onDrain(node.name, cordon);
      return { evicted: ['apps/web'] };
    },
    nodeCheck: {
      start: async (node) => fake.onNodeCheck(node),
      untilScheduled: async () => undefined,
    },
    async startNextJob(avoid) {
      record(`next Job, not on ${avoid}`);
      return 'job-2';
    },
  };
}
