import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import { KubeadmCluster, type Topology } from './cluster.ts';
import { Pipeline } from './pipeline.ts';
import { longestGap, Probe, type Seen } from './probe.ts';
import { productImage } from './product-image.ts';
import { expectedState, stateOf } from './state.ts';
import { startWorkload } from './workload.ts';

/** An upgrade of a whole cluster, from detection to completion. */
export interface UpgradeCourse {
  readonly topology: Topology;
  /** X.Y.Z */
  readonly from: string;
  /** X.Y.Z */
  readonly target: string;
  /** Changes the settings. @default unchanged */
  readonly settings?: (base: SettingsInput) => SettingsInput;
}

/** Declares the tests of an upgrade. */
export function describeUpgrade(course: UpgradeCourse): void {
  const { topology, from, target, settings } = course;
  describe(`${topology} nodes, from ${from} to ${target}, from detection to completion`, () => {
    let cluster: KubeadmCluster;
    let pipeline: Pipeline;
    let url: string;
    beforeAll(async () => {
      cluster = await KubeadmCluster.start({ topology, release: from, later: [target] });
      pipeline = await Pipeline.deploy(cluster, { image: productImage(), settings });
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
    let seen: Seen;
    it('drains and uncordons each worker with kubectl, to compare with', async () => {
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
      seen = await probed(async () => {
        await pipeline.detect();
        await pipeline.completed();
      });
      await cluster.ready();
      expect(await stateOf(cluster), await pipeline.story()).toEqual(await expectedState(cluster, target));
      console.log(
        `a request every 100 ms: ${summary(drained)} with kubectl drain, ${summary(seen)} during the upgrade`,
      );
    });

    it('the clients of a Service notice no more of it than of kubectl drain', () => {
      expect(seen.requests).toBeGreaterThan(500);
      expect(seen.failures.length, JSON.stringify(seen.failures)).toBeLessThanOrEqual(
        drained.failures.length,
      );
    });

    it('tells it in events, metrics and messages', async () => {
      const events = await cluster.kubectl('get', 'events', '--namespace=default', '--output=json');
      const reasons = (JSON.parse(events).items as { reason: string; involvedObject: { name: string } }[])
        .filter(({ reason }) => reason.startsWith('Upgrade'))
        .map(({ reason, involvedObject }) => `${involvedObject.name} ${reason}`);
      for (const { name } of cluster.nodes) {
        const ends = reasons.filter((reason) => /^\S+ Upgrade(Done|Soaked|Failed)$/.test(reason));
        expect(ends.filter((end) => end.startsWith(`${name} `))).toEqual([`${name} UpgradeSoaked`]);
      }
      const metrics = await (await fetch(`${pipeline.monitoring.pushgatewayUrl}/metrics`)).text();
      expect(metrics).toMatch(/^k8s_upgrade_in_flight\{[^}]*\} 0$/m);
      expect(metrics).toMatch(/^k8s_upgrade_last_run_outcome\{.*outcome="done"\} 1$/m);
      const messages = pipeline.slack.messages.map(({ text }) => text);
      expect(messages.at(-1)).toContain(`Kubernetes ${target}: `);
      expect(messages.filter((text) => text.includes(':white_check_mark:'))).toHaveLength(1);
      expect(messages.filter((text) => text.includes(':x:'))).toEqual([]);
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
}

const summary = (seen: Seen): string =>
  `${seen.failures.length} of ${seen.requests} failed, for at most ${longestGap(seen)} ms`;
