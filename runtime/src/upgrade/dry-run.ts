import type { V1Pod } from '@kubernetes/client-node';
import { ApiError } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import { budgetsFor } from '../cluster/disruption-budgets.ts';
import { podName } from '../cluster/pods.ts';
import type { ClusterReader } from '../cluster/reader.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { judgePods } from '../drain/drain.ts';
import { ruleFor } from '../drain/rules.ts';
import type { Release } from '../release.ts';
import type { InFlight, Journal } from '../rollout/journal.ts';
import { withTargetImage } from '../rollout/remaining.ts';
import type { Settings } from '../settings/settings.ts';
import type { NodeShell } from '../ssh/node-shell.ts';
import type { Snapshots } from '../ssh/snapshots.ts';
import type { Drainer } from './context.ts';

/**
 * The writing ports of a dry-run. They announce what they would do, and the cluster then reads as if it were
 * done, so that every stage runs to its end.
 */
export interface DryRunPorts {
  /** Shows a node as upgraded once its script would have run. */
  readonly cluster: ClusterReader;
  /** Reads for real; announces scripts. */
  readonly shell: NodeShell;
  /** Announces a snapshot and takes none. */
  readonly snapshots: Snapshots;
  /** Evicts with `dryRun=All` and waits for nothing. */
  readonly drain: Drainer;
  /** Keeps in memory what it would have written. */
  readonly journal: Journal;
}

interface RealPorts {
  readonly client: KubernetesClient;
  readonly cluster: ClusterReader;
  readonly shell: NodeShell;
  readonly journal: Journal;
  /** Sends every request with `dryRun=All`. */
  readonly writer: ClusterWriter;
  readonly drainSettings: Settings['drain'];
}

/** @param announce called with each planned action: `run update_k8s.sh … on k8s-node2`. */
export function dryRunPorts(
  real: RealPorts,
  target: Release,
  announce: (action: string) => void,
): DryRunPorts {
  const upgraded = new Set<string>();
  return {
    journal: remember(real.journal),
    cluster: pretend(real.cluster, upgraded, target),
    shell: {
      read: (...args) => real.shell.read(...args),
      waitForEnd: async (node, name) =>
        announce(`wait until ${name}.sh on ${node.name} has ended, if it still runs`),
      async script(node, name, args) {
        announce(`run ${name}.sh ${args.join(' ')} on ${node.name}`);
        if (name === 'update_k8s' && !args.includes('--prepare')) upgraded.add(node.name);
        return { dryRun: true };
      },
    },
    snapshots: {
      async take(node, release) {
        announce(`save and verify an etcd snapshot on ${node.name} before ${release}`);
        return undefined;
      },
      verify: async () => false,
    },
    drain: (node, cordon) => dryDrain(real, node.name, cordon),
  };
}

/** Reads the real cluster and shows the nodes that would have been upgraded as upgraded. */
function pretend(real: ClusterReader, upgraded: ReadonlySet<string>, target: Release): ClusterReader {
  const nodes: ClusterReader['nodes'] = async (readAnnotations) => {
    const found = await real.nodes(readAnnotations);
    return found.map((node) =>
      upgraded.has(node.name)
        ? { ...node, release: target, cordonedByUs: false, unfinished: false, kubeadmOnly: false }
        : node,
    );
  };
  const shown = (pods: readonly V1Pod[]) =>
    pods.map((pod) => (upgraded.has(pod.spec?.nodeName ?? '') ? withTargetImage(pod, target) : pod));
  return {
    ...real,
    nodes,
    apiServers: async () => shown(await real.apiServers()),
    pods: async () => shown(await real.pods()),
    async serverRelease() {
      const applied = (await nodes()).some((node) => node.controlPlane && upgraded.has(node.name));
      return applied ? target : real.serverRelease();
    },
    waitForNode: async () => {},
    waitForStaticPods: async () => {},
  };
}

/** Keeps the rollout that was not stored for as long as the dry-run lasts. */
function remember(real: Journal): Journal {
  let started: InFlight | undefined;
  return {
    ...real,
    read: async () => started ?? real.read(),
    async begin(...rollout) {
      started ??= await real.begin(...rollout);
      return started;
    },
  };
}

/**
 * Requests every eviction with `dryRun=All`, which uses up no budget; no pod leaves, so it waits for none.
 * Deletes pods that a rule names in the same way.
 */
async function dryDrain(real: RealPorts, node: string, cordon: () => Promise<unknown>): ReturnType<Drainer> {
  await cordon();
  const { gracePeriod, blockedPods } = real.drainSettings;
  const budgets = await real.cluster.budgets();
  const evicted: string[] = [];
  for (const { pod, verdict } of await judgePods(real.client, node)) {
    if (verdict.action !== 'evict') continue;
    await real.writer.evict(pod, gracePeriod).catch(async (error) => {
      if (!(error instanceof ApiError && (error.status === 429 || error.refusedBySeveralBudgets)))
        throw error;
      const named = ruleFor(pod, budgetsFor(pod, budgets), blockedPods) !== undefined;
      if (named) await real.writer.deletePod(pod, gracePeriod);
      else if (error.refusedBySeveralBudgets) throw error;
    });
    evicted.push(podName(pod));
  }
  return { evicted };
}
