import type { V1Pod } from '@kubernetes/client-node';
import type { ClusterNode } from '../cluster/nodes.ts';
import type { InputError } from '../errors.ts';
import { annotationKeys } from '../names.ts';
import type { Alert } from '../prometheus/alerts.ts';
import { parseRelease, type Release } from '../release.ts';
import { Report, type RunEvent } from '../report/events.ts';
import type { InFlight } from '../rollout/journal.ts';
import { withServerImage } from '../rollout/remaining.ts';
import { requestOf } from '../rollout/request.ts';
import type { SettingsInput } from '../settings/settings.ts';
import type { Snapshot } from '../ssh/snapshots.ts';
import type { Context } from '../upgrade/context.ts';
import { TimeoutError } from '../wait.ts';
import { clusterNode, controlPlaneTaint, testSettings } from './cluster.ts';

const release = (text: string): Release => parseRelease('test', text);
const keys = annotationKeys('viktorbarzin.me');
const time = (text: string | null | undefined) => (text ? Date.parse(text) : undefined);

export const master = (change: Partial<ClusterNode> = {}): ClusterNode =>
  clusterNode('k8s-master', { controlPlane: true, taints: [controlPlaneTaint], ...change });

/** A cluster in memory. What is done to it is in `effects`, in order; what a run tells is in `events`. */
export interface FakeCluster {
  nodes: ClusterNode[];
  server: Release;
  inFlight: InFlight | undefined;
  killSwitch: string | undefined;
  pods: V1Pod[];
  unreadable: InputError[];
  firing: () => Promise<Alert[]>;
  /** Called when a node is drained, after its cordon; throw to fail. */
  onDrain: (node: string, cordon: () => Promise<unknown>) => Promise<void>;
  /** Called when a script runs, after its effect is noted and before it has one; throw to fail. */
  onScript: (node: string, name: string) => Promise<void>;
  takeSnapshot: () => Promise<Snapshot | undefined>;
  verifySnapshot: (path: string) => Promise<boolean>;
  readonly effects: string[];
  readonly events: RunEvent[];
  change(name: string, change: Partial<ClusterNode>): void;
  node(name: string): ClusterNode;
}

export interface FakeOptions {
  readonly nodes?: ClusterNode[];
  readonly target?: string;
  readonly kind?: 'patch' | 'minor';
  readonly stages?: string;
  readonly server?: string;
  readonly inFlight?: Partial<InFlight>;
  readonly ownNode?: string;
  readonly settings?: Partial<SettingsInput>;
  readonly signal?: AbortSignal;
}

const startedAt = () => Date.now() - 60_000;

export function inFlightSince(at: number, change: Partial<InFlight> = {}): InFlight {
  const started = new Date(at).toISOString();
  return {
    started,
    startedAt: at,
    target: release('1.34.5'),
    kind: 'patch',
    snapshotPath: undefined,
    ...change,
  };
}

const controlPlanePod = (node: string): V1Pod => ({
  metadata: {
    name: `etcd-${node}`,
    namespace: 'kube-system',
    labels: { component: 'etcd', tier: 'control-plane' },
  },
  spec: { nodeName: node, containers: [{ name: 'etcd', image: 'registry.k8s.io/etcd:3.6.5-0' }] },
  status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
});

/** A run of 1.34.2 → 1.34.5 over k8s-master, k8s-node2 and k8s-node1, unless the options say otherwise. */
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
    timing: { soak: '20ms', nodeReady: '50ms' },
    ...options.settings,
  });
  const fake: FakeCluster = {
    nodes,
    server: release(options.server ?? nodes[0]?.release ?? '1.34.2'),
    inFlight: options.inFlight && inFlightSince(startedAt(), options.inFlight),
    killSwitch: undefined,
    pods: nodes.filter((node) => node.controlPlane).map((node) => controlPlanePod(node.name)),
    firing: async () => [],
    unreadable: [],
    onDrain: async () => {},
    onScript: async () => {},
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
    client: fakeClient(signal),
    alerts: { firing: () => fake.firing() },
    metrics: { query: async () => nodes.map(({ name }) => ({ labels: { instance: name }, value: 0 })) },
    repository: {
      hasMinor: async () => true,
      packages: async () => [{ release: request.target, filename: 'amd64/kubeadm.deb' }],
    },
    killSwitch: { reason: async () => fake.killSwitch },
    ...reading(fake),
    ...writing(fake, request.target),
  };
  return { ctx, fake };
}

/** What kubelet_facts.sh prints of a node on which nothing is special. */
const ordinaryKubelet = 'cgroup v2\nfile /var/lib/kubelet/config.yaml e30K\nend';

/** Every control-plane node has a healthy member of etcd. */
function etcdAnswer(words: readonly string[], nodes: readonly ClusterNode[]): string {
  if (words[1] === 'ps') return '3f2a9c0d1e77';
  const members = nodes.filter((node) => node.controlPlane);
  return JSON.stringify(
    members.map(({ address }) => ({ endpoint: `https://${address}:2379`, health: true })),
  );
}

/** As much of the client as the gates use by themselves: no node has pods that a drain would evict. */
const fakeClient = (signal: AbortSignal): Context['client'] =>
  ({
    options: { signal },
    call: (_what: string, request: () => Promise<unknown>) => request(),
    core: { listPodForAllNamespaces: async () => ({ items: [] }) },
  }) as unknown as Context['client'];

function reading(fake: FakeCluster): Pick<Context, 'cluster'> {
  return {
    cluster: {
      serverRelease: async () => fake.server,
      nodes: async () => fake.nodes,
      unreadableNodes: async () => fake.unreadable,
      apiServers: async () =>
        fake.pods.filter(({ metadata }) => metadata?.labels?.component === 'kube-apiserver'),
      pods: async () => fake.pods,
      budgets: async () => [],
      async waitForNode(name, what, done) {
        if (!done(fake.node(name))) throw new TimeoutError(what, 50);
      },
    },
  };
}

function writing(
  fake: FakeCluster,
  target: Release,
): Pick<Context, 'writer' | 'journal' | 'shell' | 'snapshots' | 'drain' | 'startNextJob'> {
  const note = (effect: string) => void fake.effects.push(effect);
  return {
    writer: {
      async patchNode(name, annotations, unschedulable) {
        const words = Object.entries(annotations).map(
          ([key, value]) => `${key.replace(/^.*upgrade-/, '')}${value === null ? '-' : ''}`,
        );
        note(
          [
            name,
            unschedulable === undefined ? 'annotate' : unschedulable ? 'cordon' : 'uncordon',
            ...words,
          ].join(' '),
        );
        const { cordonedByUs, changedAt, unfinished, soakingSince } = fake.node(name);
        const given = (key: string, before: number | undefined) =>
          key in annotations ? time(annotations[key]) : before;
        fake.change(name, {
          cordonedByUs: keys.cordoned in annotations ? annotations[keys.cordoned] !== null : cordonedByUs,
          changedAt: given(keys.changed, changedAt),
          unfinished: keys.unfinished in annotations ? annotations[keys.unfinished] !== null : unfinished,
          soakingSince: given(keys.soaking, soakingSince),
          ...(unschedulable !== undefined && { unschedulable }),
        });
      },
      patchNamespace: async () => note('patch namespace'),
      evict: async () => note('evict'),
      deletePod: async () => note('delete pod'),
      createJob: async (job) => job,
      createEvent: async () => {},
    },
    journal: {
      read: async () => fake.inFlight,
      async begin(wanted, kind, halfWay) {
        const { inFlight } = fake;
        if (inFlight?.target === wanted && inFlight.kind === kind) return inFlight;
        note(`journal begin ${wanted} ${kind}`);
        fake.inFlight = inFlightSince(Date.now(), {
          ...(halfWay && inFlight),
          target: wanted,
          kind,
        });
        return fake.inFlight;
      },
      async recordSnapshot(path) {
        if (fake.inFlight === undefined) return;
        note(`journal snapshot ${path}`);
        fake.inFlight = { ...fake.inFlight, snapshotPath: path };
      },
      acknowledge: async () => note('journal acknowledge'),
      async clear() {
        note('journal clear');
        fake.inFlight = undefined;
      },
    },
    shell: {
      async read(_node, words) {
        if (words[0] === 'crictl') return { code: 0, output: etcdAnswer(words, fake.nodes) };
        if (words[0] === 'bash') return { code: 0, output: ordinaryKubelet };
        return { code: 0, output: words[2] === 'plan' ? `kubeadm upgrade apply v${target}` : '' };
      },
      ended: async (node, name) => note(`${node.name} ${name} ended`),
      async script({ name: node }, name, args) {
        // A question, and no effect.
        if (name === 'list_packages') return { versions: [`${target}-1.1`] };
        note(`${node} ${name} ${args.join(' ')}`);
        await fake.onScript(node, name);
        if (name !== 'update_k8s') return {};
        fake.change(node, { release: target });
        fake.pods = fake.pods.map((pod) =>
          pod.spec?.nodeName === node ? withServerImage(pod, target) : pod,
        );
        if (args.includes('master')) fake.server = target;
        return {};
      },
    },
    snapshots: {
      async take({ name: node }, wanted) {
        note(`${node} snapshot before ${wanted}`);
        return fake.takeSnapshot();
      },
      verify: (_node, path) => fake.verifySnapshot(path),
    },
    async drain(node, cordon) {
      await cordon();
      note(`${node.name} drain`);
      await fake.onDrain(node.name, cordon);
      return { evicted: ['apps/web'] };
    },
    async startNextJob(avoid) {
      note(`next Job, not on ${avoid}`);
      return 'job-2';
    },
  };
}
