import type { V1Pod } from '@kubernetes/client-node';
import type { ClusterNode } from '../cluster/nodes.ts';
import { checkGates, type Gate, type GateContext, type Verdict } from '../gates/gate.ts';
import type { Sample } from '../prometheus/metrics.ts';
import { parseRelease } from '../release.ts';
import type { RepositoryPackage } from '../releases/packages.ts';
import type { InFlight } from '../rollout/journal.ts';
import { remaining } from '../rollout/remaining.ts';
import type { SettingsInput } from '../settings/settings.ts';
import { clusterNode, testSettings } from './cluster.ts';
import { inFlightSince } from './fake-context.ts';

/** A file on a node, as kubelet_facts.sh finds it. */
export type NodeFiles = Readonly<Record<string, string>>;

interface GateCase {
  /** Of the kubelets and the API server, where nothing else is said. @default 1.34.5 */
  readonly from?: string;
  /** @default 1.35.3 */
  readonly to?: string;
  readonly server?: string;
  readonly nodes?: readonly ClusterNode[];
  readonly pods?: readonly V1Pod[];
  readonly settings?: SettingsInput['gates'];
  readonly kubeadm?: SettingsInput['kubeadm'];
  /** Releases that the package repository has; without them it does not answer. */
  readonly published?: readonly string[];
  /** What a node's package manager offers, or why it cannot be asked; null in a dry run. By node. @default nothing */
  readonly offered?: Readonly<Record<string, readonly string[] | Error | null>>;
  readonly inFlight?: Partial<InFlight>;
  /** By query; a query that is missing here fails. */
  readonly metrics?: Readonly<Record<string, readonly Sample[]>>;
  /** By node, over the ones of an ordinary node. */
  readonly files?: Readonly<Record<string, NodeFiles>>;
  readonly cgroup?: Readonly<Record<string, string>>;
  /** Instead of everything that nodes say. */
  readonly said?: string;
  /** The exit code of what they say. @default 0 */
  readonly saidCode?: number;
}

const release = (text: string) => parseRelease('test', text);
const encode = (text: string) => Buffer.from(text).toString('base64');

/** Asks one gate about a control-plane node and a worker. */
export async function askGate(gate: Gate, given: GateCase): Promise<Verdict & { asked: string[] }> {
  const { from = '1.34.5', to = '1.35.3', server = from } = given;
  const nodes = given.nodes ?? [
    clusterNode('k8s-master', { controlPlane: true, release: release(from) }),
    clusterNode('k8s-node1', { release: release(from) }),
  ];
  const asked: string[] = [];
  const settings = { gates: given.settings ?? {}, kubeadm: given.kubeadm ?? {} };
  const pods = [...(given.pods ?? [])];
  const cluster = {
    pods: async () => pods,
    apiServers: async () => pods.filter((pod) => pod.metadata?.labels?.component === 'kube-apiserver'),
    serverRelease: async () => release(server),
  };
  const ctx = {
    nodes,
    remaining: () => remaining({ ...cluster, nodes: async () => [...nodes] }, release(to)),
    server: release(server),
    target: release(to),
    inFlight: given.inFlight && inFlightSince(Date.now() - 60_000, given.inFlight),
    settings: testSettings(settings),
    client: { options: { signal: new AbortController().signal } },
    cluster,
    metrics: {
      async query(promql: string) {
        const answer = given.metrics?.[promql];
        if (answer === undefined) throw new Error(`no answer to ${promql}`);
        return answer;
      },
    },
    repository: {
      hasMinor: async (minor: string) => publishedOf(given, minor).length > 0,
      packages: async (minor: string) => publishedOf(given, minor),
    },
    shell: {
      async read({ name: node }: { name: string }) {
        asked.push(node);
        return { code: given.saidCode ?? 0, output: given.said ?? factsOf(node, given) };
      },
      async script({ name: node }: { name: string }) {
        asked.push(node);
        const versions = given.offered?.[node] === undefined ? [] : given.offered[node];
        if (versions instanceof Error) throw versions;
        return versions === null ? { dryRun: true } : { versions, repository: 'https://pkgs.example/v1.34' };
      },
    },
  } as unknown as GateContext;
  const [verdict] = await checkGates([gate], ctx);
  if (verdict === undefined) throw new Error('no verdict');
  return { ...verdict, asked };
}

function publishedOf({ published }: GateCase, minor: string): RepositoryPackage[] {
  if (published === undefined) throw new Error('no answer from the package repository');
  const ofMinor = published.filter((text) => text.startsWith(`${minor}.`));
  return ofMinor.map((text) => ({ release: release(text), filename: `amd64/kubeadm_${text}.deb` }));
}

/** As kubelet_facts.sh prints it. */
function factsOf(node: string, { files = {}, cgroup = {} }: GateCase): string {
  const all: NodeFiles = { '/var/lib/kubelet/config.yaml': 'kind: KubeletConfiguration\n', ...files[node] };
  const lines = Object.entries(all).map(([path, text]) => `file ${path} ${encode(text)}`);
  return [`cgroup ${cgroup[node] ?? 'v2'}`, ...lines, 'end'].join('\n');
}

/** A pod of a namespace, with nothing but an image. */
export const imagePod = (
  namespace: string,
  name: string,
  image: string,
  change: Partial<V1Pod> = {},
): V1Pod => ({
  metadata: { namespace, name, ...change.metadata },
  spec: { containers: [{ name, image }], ...change.spec },
  status: { phase: 'Running', ...change.status },
});
