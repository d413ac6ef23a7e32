import { expect } from 'vitest';
import { listBudgets } from '../cluster/disruption-budgets.ts';
import type { SettingsInput } from '../settings/settings.ts';
import { connect, disruptionBudget, runningPod } from './api.ts';
import { clusterNode } from './cluster.ts';
import { drainLabs } from './drain-lab.ts';
import { fakeContext } from './fake-context.ts';

/** A rule that names the pod behind the budget: deleted after three minutes of refusals. */
export const rule = { disruptionBudgets: ['apps/always'], wait: '1m', deleteAfter: '2m' };

/** A lab for each test, in which a budget never allows the eviction of a pod on the node `two` (F17). */
export function blockedPodsLabs() {
  const here = drainLabs();
  /** A context for an upgrade of the lab's nodes. Everything except pods and budgets is in memory. */
  function context(blockedPods: NonNullable<SettingsInput['drain']>['blockedPods'], resumed = false) {
    const { ctx, fake } = fakeContext({
      nodes: [clusterNode('one', { controlPlane: true }), clusterNode('two')],
      // The lab of a drain has no add-ons.
      settings: {
        drain: { blockedPods },
        kubeadm: { skipPhases: ['addon'] },
        gates: { alertWait: '1ms', alertInterval: '1ms' },
      },
      ...(resumed && { inFlight: {} }),
    });
    const client = connect(here().lab);
    const cluster = { ...ctx.cluster, budgets: () => listBudgets(client) };
    return { ctx: { ...ctx, client, cluster }, fake, client };
  }

  const seed = () =>
    here().seed(
      runningPod('web', 'two'),
      runningPod('free', 'two'),
      disruptionBudget('always', 'web', { minAvailable: 1 }),
    );
  const unchanged = () => expect(here().podsOn('two').sort()).toEqual(['free', 'web']);
  return { here, context, seed, unchanged };
}
