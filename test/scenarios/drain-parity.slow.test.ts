import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KubernetesClient } from '../../runtime/src/cluster/client.ts';
import { clusterWriter } from '../../runtime/src/cluster/writer.ts';
import { drain } from '../../runtime/src/drain/drain.ts';
import { hasKubectl, kubectl, namespace, startTestLab, type TestLab, testNode } from '../lab/api/testing.ts';
import type { KubeObject } from '../lab/api/types.ts';
import { drainWorkload, type Seeded } from './drain-workload.ts';
import { embedded } from './start-lab.ts';

/**
 * The same twenty nodes, full of pods of every kind, drained once by `kubectl drain` and once by this
 * project: the same pods evicted, the same left, the same refusals. The seed is in the titles; `DRAIN_SEED`
 * plays another.
 */

const seed = Number(process.env.DRAIN_SEED ?? 20261122);
const nodes = Array.from({ length: 20 }, (_, i) => `node-${String(i + 1).padStart(2, '0')}`);
/** Where replacements go. */
const spares = ['spare-1', 'spare-2'];
const timeoutSeconds = 16;

interface Outcome {
  /** Nodes whose drain succeeded. */
  readonly drained: string[];
  /** Seeded pods of which an eviction was accepted. */
  readonly evicted: string[];
  /** Seeded pods that are still there. */
  readonly left: string[];
  /** Seeded pods of which no eviction was accepted, with the answers. */
  readonly refused: Record<string, number[]>;
  /** Evicted pods that nobody seeded: those that controllers made. */
  readonly others: string[];
}

/** Starts a lab, fills it, cordons what will be drained, so that replacements come up elsewhere. */
async function startCluster(seeded: readonly Seeded[], objects: readonly KubeObject[]): Promise<TestLab> {
  const lab = await startTestLab();
  lab.api.apply([
    namespace('apps'),
    namespace('going'),
    ...[...nodes, ...spares].map((name) => testNode(name)),
  ]);
  for (const name of nodes) {
    lab.api.store.modify('nodes', undefined, name, (node) => {
      node.spec = { ...node.spec, unschedulable: true };
    });
  }
  await lab.api.settled();
  lab.api.apply(objects);
  await lab.api.settled();
  for (const one of seeded) one.afterwards?.(lab.api);
  await lab.api.settled();
  lab.api.requests.clear();
  return lab;
}

/** Drains all nodes, four at a time. */
async function drainAll(drainNode: (node: string) => Promise<boolean>): Promise<string[]> {
  const queue = [...nodes];
  const drained: string[] = [];
  const work = async () => {
    for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
      if (await drainNode(node)) drained.push(node);
    }
  };
  await Promise.all([work(), work(), work(), work()]);
  return drained.sort();
}

function outcomeOf(
  lab: TestLab,
  seeded: readonly Seeded[],
  uids: ReadonlyMap<string, string>,
  drained: string[],
) {
  const names = new Set(seeded.map((one) => one.name));
  const answers = lab.api.requests.matching({ subresource: 'eviction' });
  const accepted = new Set(answers.filter((one) => one.status === 201).map((one) => one.name));
  const refused: Record<string, number[]> = {};
  for (const name of [...names].filter((one) => !accepted.has(one)).sort()) {
    const statuses = new Set(answers.filter((one) => one.name === name).map((one) => one.status));
    if (statuses.size > 0) refused[name] = [...statuses].sort();
  }
  const left = lab.api.store.list('pods').filter(({ metadata }) => uids.get(metadata.name) === metadata.uid);
  return {
    drained,
    evicted: [...accepted].filter((name) => names.has(name)).sort(),
    left: left.map(({ metadata }) => metadata.name).sort(),
    refused,
    others: [...accepted].filter((name) => !names.has(name)),
  } satisfies Outcome;
}

const sideBySide = hasKubectl ? embedded.describe : describe.skip;

sideBySide(`twenty nodes side by side, seed ${seed}`, () => {
  const { seeded, objects } = drainWorkload(seed, nodes);
  const labs: TestLab[] = [];
  let theirs: Outcome;
  let ours: Outcome;

  const run = async (drainNode: (lab: TestLab, node: string) => Promise<boolean>): Promise<Outcome> => {
    const lab = await startCluster(seeded, objects);
    labs.push(lab);
    const names = new Set(seeded.map((one) => one.name));
    const uids = new Map(
      lab.api.store
        .list('pods')
        .filter(({ metadata }) => names.has(metadata.name))
        .map(({ metadata }) => [metadata.name, metadata.uid]),
    );
    expect(uids.size).toBe(seeded.length);
    return outcomeOf(lab, seeded, uids, await drainAll((node) => drainNode(lab, node)));
  };

  beforeAll(async () => {
    theirs = await run(async (lab, node) => {
      const kubeconfig = join(lab.dir, 'admin.kubeconfig');
      await writeFile(kubeconfig, lab.api.kubeconfig('admin'), { mode: 0o600 });
      const flags = ['--ignore-daemonsets', '--delete-emptydir-data', '--force', '--grace-period=300'];
      return (await kubectl(kubeconfig, 'drain', node, ...flags, `--timeout=${timeoutSeconds}s`)).code === 0;
    });
    ours = await run(async (lab, node) => {
      const config = new KubeConfig();
      config.loadFromString(lab.api.kubeconfig('admin'));
      const { signal } = new AbortController();
      const client = new KubernetesClient(config, { requestTimeout: 10_000, outage: 10_000, signal });
      const options = {
        timeout: (timeoutSeconds / 2) * 1000,
        gracePeriod: 300_000,
        evictionRetry: 500,
        blockedPods: [],
        signal,
        onNotice: () => {},
        cordon: async () => 'already' as const,
      };
      return drain(client, clusterWriter(client, 'k8s-upgrade'), node, options).then(
        () => true,
        () => false,
      );
    });
  }, 400_000);
  afterAll(() => Promise.all(labs.map((lab) => lab.stop())));

  it('has something of every kind', () => {
    const kinds = new Set(seeded.map((one) => one.kind));
    expect(kinds.size).toBeGreaterThanOrEqual(16);
    expect(theirs.evicted.length).toBeGreaterThan(40);
    expect(theirs.left.length).toBeGreaterThan(20);
    expect(new Set(Object.values(theirs.refused).flat())).toEqual(new Set([403, 429, 500]));
    expect(theirs.drained.length).toBeGreaterThan(0);
    expect(theirs.drained.length).toBeLessThan(nodes.length);
  });

  it('the same pods are evicted', () => expect(ours.evicted).toEqual(theirs.evicted));
  it('the same pods are left', () => expect(ours.left).toEqual(theirs.left));
  it('the same evictions are refused, with the same answers', () =>
    expect(ours.refused).toEqual(theirs.refused));
  it('the same nodes are drained', () => expect(ours.drained).toEqual(theirs.drained));
  it('nothing else is evicted', () => expect([ours.others, theirs.others]).toEqual([[], []]));
});
