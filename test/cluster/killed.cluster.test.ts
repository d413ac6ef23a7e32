import { describe, expect, it, onTestFinished } from 'vitest';
import { KubeadmCluster } from './cluster.ts';
import { type KillPoint, killExecutor, otherPoints, worstPoints } from './kill-points.ts';
import { Pipeline } from './pipeline.ts';
import { productImage } from './product-image.ts';
import { expectedState, stateOf } from './state.ts';
import { startWorkload } from './workload.ts';

const [from, target] = ['1.34.2', '1.34.4'];
const all = process.env.CLUSTER === 'all';

const courses: readonly (readonly KillPoint[])[] = [worstPoints, ...(all ? otherPoints : [])];

describe.each(courses.map((points) => ({ points, when: points.map((point) => point.when).join('; ') })))(
  'the executor is killed $when',
  ({ points }) => {
    it('and another one finishes the rollout', { timeout: 900_000 }, async () => {
      const cluster = await KubeadmCluster.start({ release: from, later: [target] });
      onTestFinished(() => cluster.stop());
      const pipeline = await Pipeline.deploy(cluster, { image: productImage() });
      onTestFinished(() => pipeline.stop());
      await startWorkload(cluster);
      await cluster.publish(target);
      await pipeline.detect();
      const ended = pipeline.completed();
      for (const { moment } of points) {
        await Promise.race([
          moment(cluster),
          ended.then(() => Promise.reject(new Error('completed too early'))),
        ]);
        await killExecutor(cluster);
      }
      await ended;
      await cluster.ready();
      expect(await stateOf(cluster), await pipeline.story()).toEqual(await expectedState(cluster, target));
      const texts = pipeline.slack.messages.map(({ text }) => text);
      expect(
        texts.filter((text) => text.includes(':white_check_mark:')),
        texts.join('\n'),
      ).toHaveLength(1);
    });
  },
);
