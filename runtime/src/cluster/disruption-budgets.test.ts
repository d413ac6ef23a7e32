import type { V1LabelSelector, V1PodDisruptionBudget } from '@kubernetes/client-node';
import { describe, expect, it, test } from 'vitest';
import { pod } from '../testing/cluster.ts';
import { budgetsFor, describeBudget, neverAllows, selects } from './disruption-budgets.ts';

const labels = { app: 'web', tier: 'front' };
const expression = (key: string, operator: string, values?: string[]): V1LabelSelector => ({
  matchExpressions: [{ key, operator, ...(values && { values }) }],
});

describe('a label selector', () => {
  const cases: [selector: V1LabelSelector | undefined, selected: boolean][] = [
    [undefined, false],
    [{}, true],
    [{ matchLabels: { app: 'web' } }, true],
    [{ matchLabels: { app: 'web', tier: 'front' } }, true],
    [{ matchLabels: { app: 'web', tier: 'back' } }, false],
    [{ matchLabels: { zone: 'a' } }, false],
    [expression('app', 'In', ['db', 'web']), true],
    [expression('app', 'In', ['db']), false],
    [expression('zone', 'In', ['a']), false],
    [expression('app', 'NotIn', ['db']), true],
    [expression('app', 'NotIn', ['web']), false],
    [expression('zone', 'NotIn', ['a']), true],
    [expression('app', 'Exists'), true],
    [expression('zone', 'Exists'), false],
    [expression('app', 'DoesNotExist'), false],
    [expression('zone', 'DoesNotExist'), true],
    [expression('app', 'Near', ['web']), false],
    [{ matchLabels: { app: 'web' }, ...expression('tier', 'In', ['back']) }, false],
  ];
  test.each(cases)('%j selects app=web,tier=front: %s', (selector, selected) => {
    expect(selects(selector, labels)).toBe(selected);
  });
});

const budget = (
  name: string,
  status: Partial<V1PodDisruptionBudget['status']> | undefined,
  namespace = 'apps',
): V1PodDisruptionBudget => ({
  metadata: { name, namespace },
  spec: { selector: { matchLabels: { app: name } } },
  ...(status && {
    status: { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0, ...status },
  }),
});

describe('budgets', () => {
  it('apply to the pods in their namespace that they select', () => {
    const all = [budget('web', {}), budget('db', {}), budget('web', {}, 'other')];
    expect(budgetsFor(pod('one', { metadata: { labels: { app: 'web' } } }), all)).toEqual([all[0]]);
    expect(budgetsFor(pod('one'), all)).toEqual([]);
  });

  test.each([
    ['minAvailable 1 of 1 (F17)', { expectedPods: 1, desiredHealthy: 1, currentHealthy: 1 }, true],
    ['minAvailable 3 of 2', { expectedPods: 2, desiredHealthy: 3, currentHealthy: 2 }, true],
    ['maxUnavailable 0 of 3', { expectedPods: 3, desiredHealthy: 3, currentHealthy: 3 }, true],
    ['minAvailable 1 of 2', { expectedPods: 2, desiredHealthy: 1, currentHealthy: 2 }, false],
    ['minAvailable 1 of 2, one unhealthy', { expectedPods: 2, desiredHealthy: 1, currentHealthy: 1 }, false],
    ['no pods', { expectedPods: 0, desiredHealthy: 1 }, false],
    ['without a status yet', undefined, false],
  ])('with %s never allow a disruption: case %#', (_what, status, never) => {
    expect(neverAllows(budget('web', status))).toBe(never);
  });

  it('are described by name and numbers', () => {
    expect(describeBudget(budget('web', { currentHealthy: 1, desiredHealthy: 1 }))).toBe(
      'apps/web (0 allowed now: 1 healthy, 1 needed)',
    );
    expect(describeBudget(budget('web', undefined))).toBe('apps/web (0 allowed now: 0 healthy, 0 needed)');
  });
});
