import { describe, expect, it } from 'vitest';
import { blockedPodsLabs, rule } from '../testing/blocked-pods.ts';
import { fakeContext, master } from '../testing/fake-context.ts';
import { worker } from '../testing/run.ts';
import { planSteps } from './plan.ts';

const { context, seed, unchanged } = blockedPodsLabs();

describe('the order on a node, in the plan', () => {
  const first = 'drain, kubeadm, kubelet, Ready';
  const last = 'kubeadm, drain, kubelet, Ready';
  const inProgress = { changedAt: Date.now(), unfinished: true };

  it.each([
    ['kubelet', {}, last],
    ['kubeadm', {}, first],
    ['kubelet', { ...inProgress, kubeadmOnly: true }, last],
    ['kubelet', { ...inProgress, cordonedByUs: true }, first],
  ] as const)('is that of drain.before %s on a node %j', async (before, change, order) => {
    const nodes = [master(), worker('k8s-node1', change)];
    const { ctx } = fakeContext({ nodes, inFlight: {}, settings: { drain: { before } } });
    const step = (await planSteps(ctx)).find((text) => text.includes('k8s-node1'));
    expect(step?.trim()).toBe(`k8s-node1  1.34.2 → 1.34.5: fetch packages and images, ${order}`);
  });
});

describe('pods that may be deleted, in the plan', () => {
  it('lists the pods that a rule allows to delete below their node', async () => {
    await seed();
    const steps = await planSteps(context([rule]).ctx);
    const at = steps.findIndex((step) => step.includes('two  1.34.2'));
    expect(steps[at + 1]?.trim()).toBe(
      'pod apps/web, held by PodDisruptionBudget apps/always (0 allowed now: 1 healthy, 1 needed): deleted when still refused after 3m (drain.blockedPods.0)',
    );
    expect(steps.filter((step) => step.includes('blockedPods'))).toHaveLength(1);
    unchanged();
  });

  it('lists no pod without a rule', async () => {
    await seed();
    const steps = await planSteps(context([{ ...rule, disruptionBudgets: ['apps/other'] }]).ctx);
    expect(steps.some((step) => step.includes('apps/web'))).toBe(false);
  });
});
