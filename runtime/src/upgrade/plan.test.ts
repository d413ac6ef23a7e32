import { describe, expect, it } from 'vitest';
import { blockedPodsLabs, rule } from '../testing/blocked-pods.ts';
import { planSteps } from './plan.ts';

const { context, seed, unchanged } = blockedPodsLabs();

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
