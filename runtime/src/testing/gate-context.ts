import type { V1Pod } from '@kubernetes/client-node';
import { componentOf } from '../cluster/control-plane-pods.ts';
import type { ClusterNode } from '../cluster/nodes.ts';
import { checkGates, type Gate, type GateContext, type Verdict } from '../gates/gate.ts';
import type { Sample } from '../prometheus/metrics.ts';
import { parseRelease } from '../release.ts';
import type { RepositoryPackage } from '../releases/packages.ts';
import type { InFlight } from '../rollout/journal.ts';
import { remaining } from '../rollout/remaining.ts';
import type { SettingsInput } from '../settings/settings.ts';
import { clusterNode, packagesOf, testSettings } from './cluster.ts';
import { inFlightSince } from './fake-context.ts';

/** Files on a node, by path, as kubelet_facts.sh prints them. */
export type NodeFiles = Readonly<Record<string, string>>;

/** The cluster around one gate. */
interface GateCase {
  /** The release of the kubelets and, without `server`, of the API server. @default 1.34.5 */
  readonly from?: string;
  /** The target. @default 1.35.3 */
  readonly to?: string;
  /** The release of the API server. @default from */
  readonly server?: string;
  /** @default k8s-master and the worker k8s-node1 */
  readonly nodes?: readonly ClusterNode[];
  /** @default none */
  readonly pods?: readonly V1Pod[];
  /** The settings `gates`. @default none */
  readonly settings?: SettingsInput['gates'];
  /** The settings `kubeadm`. @default none */
  readonly kubeadm?: SettingsInput['kubeadm'];
  /** The releases in the package repository. @default the repository does not answer */
  readonly published?: readonly string[];
  /** Packages in the repository besides those. @default none */
  readonly packages?: readonly RepositoryPackage[];
  /** By node: the versions that its package manager offers, an error, or null for a dry-run. @default none */
  readonly offered?: Readonly<Record<string, readonly string[] | Error | null>>;
  /** By node: what its package manager offers in part, such as `1.34.6 kubelet`. @default none */
  readonly incomplete?: Readonly<Record<string, readonly string[]>>;
  /** Whether the nodes do not report the repository of their packages. @default they report it */
  readonly unreportedRepository?: boolean;
  /** @default no rollout in flight */
  readonly inFlight?: Partial<InFlight>;
  /** The answers of Prometheus by query; any other query fails. @default none */
  readonly metrics?: Readonly<Record<string, readonly Sample[]>>;
  /** By node, in addition to those of an ordinary node. @default none */
  readonly files?: Readonly<Record<string, NodeFiles>>;
  /** By node. @default v2 */
  readonly cgroup?: Readonly<Record<string, string>>;
  /** Replaces the output of every command on a node. @default that of kubelet_facts.sh */
  readonly output?: string;
  /** The exit code of every command on a node. @default 0 */
  readonly exitCode?: number;
}

const release = (text: string) => parseRelease('test', text);
const encode = (text: string) => Buffer.from(text).toString('base64');

/** Checks one gate. `contacted` are the nodes that it reached over SSH, once per command. */
export async function checkOneGate(
  gate: Gate,
  given: GateCase,
): Promise<Verdict & { contacted: string[]; commands: string[] }> {
  const { from = '1.34.5', to = '1.35.3', server = from } = given;
  const nodes = given.nodes ?? [
    clusterNode('k8s-master', { controlPlane: true, release: release(from) }),
    clusterNode('k8s-node1', { release: release(from) }),
  ];
  const contacted: string[] = [];
  const commands: string[] = [];
  const settings = { gates: given.settings ?? {}, kubeadm: given.kubeadm ?? {} };
  const pods = [...(given.pods ?? [])];
  const cluster = {
    pods: async () => pods,
    apiServers: async () => pods.filter((pod) => componentOf(pod) === 'kube-apiserver'),
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
      async read({ name: node }: { name: string }, words: readonly string[]) {
        contacted.push(node);
        commands.push(words.join(' '));
        return { code: given.exitCode ?? 0, output: given.output ?? factsOf(node, given) };
      },
      async script({ name: node }: { name: string }) {
        contacted.push(node);
        const versions = given.offered?.[node] === undefined ? [] : given.offered[node];
        if (versions instanceof Error) throw versions;
        if (versions === null) return { dryRun: true };
        return {
          versions,
          incomplete: given.incomplete?.[node] ?? [],
          ...(!given.unreportedRepository && { repository: 'https://pkgs.example/v1.34' }),
        };
      },
    },
  } as unknown as GateContext;
  const [verdict] = await checkGates([gate], ctx);
  if (verdict === undefined) throw new Error('no verdict');
  return { ...verdict, contacted, commands };
}

function publishedOf({ published, packages = [] }: GateCase, minor: string): RepositoryPackage[] {
  if (published === undefined) throw new Error('no answer from the package repository');
  const ofMinor = published.filter((text) => text.startsWith(`${minor}.`));
  return [...ofMinor.flatMap((text) => packagesOf(release(text))), ...packages];
}

/** The output of kubelet_facts.sh. */
function factsOf(node: string, { files = {}, cgroup = {} }: GateCase): string {
  const all: NodeFiles = { '/var/lib/kubelet/config.yaml': 'kind: KubeletConfiguration\n', ...files[node] };
  const lines = Object.entries(all).map(([path, text]) => `file ${path} ${encode(text)}`);
  return [`cgroup ${cgroup[node] ?? 'v2'}`, ...lines, 'end'].join('\n');
}

/** A running pod with one container of that image. */
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
