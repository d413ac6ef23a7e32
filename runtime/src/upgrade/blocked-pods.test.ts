import { describe, expect, it } from 'vitest';
import { listBudgets } from '../cluster/disruption-budgets.ts';
import { clusterWriter } from '../cluster/writer.ts';
import type { SettingsInput } from '../settings/settings.ts';
import { connect, disruptionBudget, runningPod } from '../testing/api.ts';
import { clusterNode } from '../testing/cluster.ts';
import { drainLabs } from '../testing/drain-lab.ts';
import { fakeContext } from '../testing/fake-context.ts';
import { dryRunPorts } from './dry-run.ts';
import { planSteps } from './plan.ts';
import { preflight } from './stages/preflight.ts';

/** What is said, beforehand and in a dry-run, of pods that may be deleted (F17). */

const here = drainLabs();
const rule = { disruptionBudgets: ['apps/always'], wait: '1m', deleteAfter: '2m' };

/** An upgrade of the lab's nodes; everything but pods and budgets is in memory. */
function context(blockedPods: NonNullable<SettingsInput['drain']>['blockedPods'], resumed = false) {
  const { ctx, fake } = fakeContext({
    nodes: [clusterNode('one', { controlPlane: true }), clusterNode('two')],
    settings: { drain: { blockedPods }, gates: { alertWait: '1ms', alertInterval: '1ms' } },
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

describe('the plan', () => {
  it('names them below their node', async () => {
    await seed();
    const steps = await planSteps(context([rule]).ctx);
    const at = steps.findIndex((step) => step.includes('two  1.34.2'));
    expect(steps[at + 1]?.trim()).toBe(
      'pod apps/web, held by PodDisruptionBudget apps/always (0 allowed now: 1 healthy, 1 needed): deleted when still refused after 3m (drain.blockedPods.0)',
    );
    expect(steps.filter((step) => step.includes('blockedPods'))).toHaveLength(1);
    unchanged();
  });

  it('names none that no rule does', async () => {
    await seed();
    const steps = await planSteps(context([{ ...rule, disruptionBudgets: ['apps/other'] }]).ctx);
    expect(steps.some((step) => step.includes('apps/web'))).toBe(false);
  });
});

describe('preflight', () => {
  it.each([[false], [true]])('tells of them, also on resuming: %s', async (resumed) => {
    await seed();
    const { ctx, fake } = context([rule], resumed);
    await preflight.run(ctx).catch(() => {});
    await ctx.report.flush();
    const reported = fake.events.flatMap((event) => (event.type === 'notice' ? [event.text] : []));
    expect(reported.filter((text) => text.includes('will be deleted'))).toEqual([
      expect.stringMatching(
        /^drain: one pod will be deleted where the eviction stays refused:\n {2}- apps\/web on two: /,
      ),
    ]);
    unchanged();
  });
});

describe('a dry-run', () => {
  const dryDrain = async (blockedPods: Parameters<typeof context>[0]) => {
    const { ctx, client } = context(blockedPods);
    const said: string[] = [];
    const writer = clusterWriter(client, 'k8s-upgrade', (announce) => said.push(announce));
    const real = { ...ctx, writer, drainSettings: ctx.settings.drain };
    const ports = dryRunPorts(real, ctx.request.target, () => {});
    const drained = await ports
      .drain(
        clusterNode('two'),
        async () => 'already',
        () => {},
      )
      .catch((error) => error);
    return { drained, said };
  };
  const deletions = () => here().lab.api.requests.matching({ resource: 'pods', verb: 'delete' });

  it('says that it would delete them, and asks whether it may', async () => {
    await seed();
    const { drained, said } = await dryDrain([rule]);
    expect([...drained.evicted].sort()).toEqual(['apps/free', 'apps/web']);
    expect(said).toContain('delete pod apps/web, whose eviction is refused');
    expect(deletions().map((one) => [one.name, one.dryRun, one.status])).toEqual([['web', true, 200]]);
    unchanged();
  });

  it('would delete no other, and stops at several budgets over one pod as a drain does', async () => {
    await seed();
    expect((await dryDrain([])).said.filter((text) => text.startsWith('delete'))).toEqual([]);
    here().lab.api.apply([disruptionBudget('second', 'web', { minAvailable: 0 })]);
    await here().lab.api.settled();
    expect((await dryDrain([rule])).drained).toMatchObject({
      message: expect.stringContaining('more than one PodDisruptionBudget'),
    });
    expect(deletions()).toEqual([]);
    unchanged();
  });
});
