import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KubeadmCluster } from './cluster.ts';
import { Pipeline } from './pipeline.ts';
import { longestGap, Probe, type Seen } from './probe.ts';
import { productImage } from './product-image.ts';
import { expectedState, stateOf } from './state.ts';
import { startWorkload } from './workload.ts';

const from = '1.34.2';
const target = '1.34.4';

describe(`a patch from ${from} to ${target}, from detection to completion`, () => {
  let cluster: KubeadmCluster;
  let pipeline: Pipeline;
  let url: string;
  beforeAll(async () => {
    cluster = await KubeadmCluster.start({ release: from, later: [target] });
    pipeline = await Pipeline.deploy(cluster, { image: productImage() });
    url = await startWorkload(cluster);
  });
  afterAll(async () => {
    await pipeline?.stop();
    await cluster?.stop();
  });

  it('begins with the release that was installed', async () => {
    expect(await stateOf(cluster)).toEqual(await expectedState(cluster, from));
  });

  let drained: Seen;
  it('with kubectl, drains and uncordons each worker', async () => {
    drained = await probed(async () => {
      for (const { name } of cluster.nodes.filter((node) => !node.isControlPlane)) {
        await cluster.kubectl('drain', name, '--ignore-daemonsets', '--delete-emptydir-data');
        await cluster.kubectl('uncordon', name);
        await cluster.ready();
      }
    });
  });

  it('upgrades every part of every node', { timeout: 900_000 }, async () => {
    await cluster.publish(target);
    const seen = await probed(async () => {
      await pipeline.detect();
      await pipeline.completed();
    });
    await cluster.ready();
    expect(await stateOf(cluster), await pipeline.story()).toEqual(await expectedState(cluster, target));
    console.log(
      'kubectl drain',
      drained.failures.length,
      longestGap(drained),
      'upgrade',
      seen.failures.length,
      longestGap(seen),
    );
    expect(seen.failures.length).toBeLessThanOrEqual(drained.failures.length);
  });

  /** What a client of the Service saw while `work` ran. */
  async function probed(work: () => Promise<void>): Promise<Seen> {
    const probe = new Probe(cluster.node('k8s-master'), url);
    await work().catch(async (error) => {
      await probe.stop();
      throw error;
    });
    return probe.stop();
  }
});
