import type { LabApi } from '../lab/api/index.ts';
import type { KubeObject } from '../lab/api/types.ts';

/** A pod on a node, with what is around it; `afterwards` is done once everything runs. */
export interface Seeded {
  readonly name: string;
  readonly kind: string;
  readonly afterwards?: (api: LabApi) => void;
}

interface Made {
  readonly objects: KubeObject[];
  readonly afterwards?: (api: LabApi) => void;
}

type Maker = (name: string, node: string) => Made;

const container = [{ name: 'main', image: 'registry.invalid/any:1' }];
const owner = (kind: string, name: string, controller = true) => ({
  apiVersion: kind === 'Job' ? 'batch/v1' : 'apps/v1',
  kind,
  name,
  uid: `uid-${kind}-${name}`,
  controller,
});

function pod(name: string, node: string, change: { metadata?: object; spec?: object; status?: object } = {}) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'apps', labels: { pod: name }, ...change.metadata },
    spec: { nodeName: node, containers: container, ...change.spec },
    ...(change.status && { status: change.status }),
  } as KubeObject;
}

const budget = (name: string, pod: string, spec: object): KubeObject =>
  ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name, namespace: 'apps' },
    spec: { ...spec, selector: { matchLabels: { pod } } },
  }) as KubeObject;

/** A controller with its pods already there. */
const replicaSet = (name: string, replicas: number): KubeObject =>
  ({
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name, namespace: 'apps', uid: owner('ReplicaSet', name).uid },
    spec: {
      replicas,
      selector: { matchLabels: { pod: name } },
      template: { metadata: { labels: { pod: name } }, spec: { containers: container } },
    },
  }) as KubeObject;

const replicated = (name: string, node: string): Made => ({
  objects: [
    pod(name, node, { metadata: { ownerReferences: [owner('ReplicaSet', name)] } }),
    replicaSet(name, 1),
  ],
});
const withBudget =
  (spec: object, base: Maker = replicated): Maker =>
  (name, node) => ({ objects: [...base(name, node).objects, budget(name, name, spec)] });

const bare: Maker = (name, node) => ({ objects: [pod(name, node)] });
const mirror = { 'kubernetes.io/config.mirror': 'hash' };
const ended = (phase: string) => ({ phase, startTime: new Date().toISOString() });

/** Every filter and every answer, by the name of the pods. */
const makers: Readonly<Record<string, Maker>> = {
  replicated,
  bare,
  'empty-dir': (name, node) => ({
    objects: [pod(name, node, { spec: { volumes: [{ name: 'v', emptyDir: {} }] } })],
  }),
  succeeded: (name, node) => ({
    objects: [pod(name, node, { spec: { restartPolicy: 'Never' }, status: ended('Succeeded') })],
  }),
  failed: (name, node) => ({
    objects: [pod(name, node, { spec: { restartPolicy: 'Never' }, status: ended('Failed') })],
  }),
  'of-job': (name, node) => ({
    objects: [
      pod(name, node, {
        metadata: { ownerReferences: [owner('Job', name)] },
        spec: { restartPolicy: 'Never' },
        status: ended('Succeeded'),
      }),
    ],
  }),
  mirror: (name, node) => ({ objects: [pod(name, node, { metadata: { annotations: mirror } })] }),
  'mirror-ended': (name, node) => ({
    objects: [pod(name, node, { metadata: { annotations: mirror }, status: ended('Failed') })],
  }),
  orphan: (name, node) => ({
    objects: [pod(name, node, { metadata: { ownerReferences: [owner('DaemonSet', 'gone')] } })],
  }),
  'orphan-mirror': (name, node) => ({
    objects: [
      pod(name, node, { metadata: { annotations: mirror, ownerReferences: [owner('DaemonSet', 'gone')] } }),
    ],
  }),
  'owned-not-controlled': (name, node) => ({
    objects: [pod(name, node, { metadata: { ownerReferences: [owner('DaemonSet', 'agent', false)] } })],
  }),
  finalizer: (name, node) => ({
    objects: [pod(name, node, { metadata: { finalizers: ['example.com/never'] } })],
  }),
  terminating: (name, node) => ({
    objects: [pod(name, node, { metadata: { finalizers: ['example.com/never'] } })],
    afterwards: ({ store }) =>
      store.modify('pods', 'apps', name, (found) => {
        found.metadata.deletionTimestamp = new Date().toISOString();
        found.metadata.deletionGracePeriodSeconds = 30;
      }),
  }),
  'namespace-going': (name, node) => ({
    objects: [pod(name, node, { metadata: { name, namespace: 'going', labels: { pod: name } } })],
    afterwards: ({ store }) =>
      store.modify('namespaces', undefined, 'going', (found) => {
        found.status = { phase: 'Terminating' };
      }),
  }),
  'budget-allows': withBudget({ minAvailable: 0 }),
  'budget-zero': withBudget({ maxUnavailable: 0 }),
  'budget-whole': withBudget({ minAvailable: '100%' }),
  'budget-bare': withBudget({ minAvailable: 1 }, bare),
  'budget-percent-bare': withBudget({ minAvailable: '50%' }, bare),
  'budget-ended': (name, node) => ({
    objects: [
      pod(name, node, { spec: { restartPolicy: 'Never' }, status: ended('Succeeded') }),
      budget(name, name, { minAvailable: 1 }),
    ],
  }),
  'budget-above-replicas': withBudget({ minAvailable: 2 }, bare),
  'budgets-two': (name, node) => ({
    objects: [
      ...bare(name, node).objects,
      budget(`${name}-a`, name, { minAvailable: 0 }),
      budget(`${name}-b`, name, { minAvailable: 0 }),
    ],
  }),
};

/** These keep a drain waiting until its time-out. */
const blocking = new Set([
  'finalizer',
  'terminating',
  'namespace-going',
  'budget-zero',
  'budget-whole',
  'budget-bare',
  'budget-percent-bare',
  'budget-above-replicas',
]);

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/**
 * Pods of every kind over the nodes: each kind at least once, the rest by chance; those that a drain waits
 * for in vain on every third node only. A DaemonSet has a pod everywhere, and a group of four under a budget
 * of a half goes bit by bit.
 */
export function drainWorkload(
  seed: number,
  nodes: readonly string[],
): { seeded: Seeded[]; objects: KubeObject[] } {
  const next = numbers(seed);
  const among = <T>(all: readonly T[]): T => {
    const found = all[Math.floor(next() * all.length)];
    if (found === undefined) throw new Error('nothing to choose from');
    return found;
  };
  const seeded: Seeded[] = [];
  const objects: KubeObject[] = [];
  const add = (kind: string, node: string) => {
    const name = `${kind}-${seeded.length}`;
    const made = makers[kind]?.(name, node);
    if (made === undefined) throw new Error(`no maker for ${kind}`);
    objects.push(...made.objects);
    seeded.push({ name, kind, ...(made.afterwards && { afterwards: made.afterwards }) });
  };
  const stuck = nodes.filter((_, i) => i % 3 === 0);
  const kinds = Object.keys(makers);
  for (const kind of kinds) add(kind, among(blocking.has(kind) ? stuck : nodes));
  for (const node of nodes) {
    const possible = kinds.filter((kind) => !blocking.has(kind) || stuck.includes(node));
    for (let left = 3 + Math.floor(next() * 4); left > 0; left -= 1) add(among(possible), node);
  }
  for (let i = 0; i < 4; i += 1) {
    const name = `half-${i}`;
    const controlled = { labels: { pod: 'half' }, ownerReferences: [owner('ReplicaSet', 'half')] };
    objects.push(pod(name, nodes[1] ?? '', { metadata: controlled }));
    seeded.push({ name, kind: 'half' });
  }
  objects.push(replicaSet('half', 4), budget('half', 'half', { minAvailable: '50%' }), daemonSet);
  return { seeded, objects };
}

const daemonSet = {
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'agent', namespace: 'apps', uid: owner('DaemonSet', 'agent').uid },
  spec: {
    selector: { matchLabels: { pod: 'agent' } },
    template: { metadata: { labels: { pod: 'agent' } }, spec: { containers: container } },
  },
} as KubeObject;
