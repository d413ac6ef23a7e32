import type { V1PodDisruptionBudget } from '@kubernetes/client-node';
import { describe, expect, it, test } from 'vitest';
import { type BlockedPodRule, namespacesOf, outlastingRules } from '../settings/blocked-pods.ts';
import type { SettingsInput } from '../settings/settings.ts';
import { pod, testSettings } from '../testing/cluster.ts';
import { describeDeletion, ruleFor } from './rules.ts';

type Written = NonNullable<NonNullable<SettingsInput['drain']>['blockedPods']>;
const rules = (...blockedPods: Written): BlockedPodRule[] =>
  testSettings({ drain: { blockedPods } }).drain.blockedPods;

const budget = (name: string): V1PodDisruptionBudget => ({ metadata: { name, namespace: 'apps' } });
const web = pod('web-1', { metadata: { labels: { app: 'web', tier: 'front' } } });
const [own, second] = [budget('web'), budget('front')];

describe('a rule names a pod when each of its conditions matches', () => {
  const cases: [what: string, rule: Written[number], budgets: V1PodDisruptionBudget[], named: boolean][] = [
    ['its namespace', { namespaces: ['media', 'apps'] }, [own], true],
    ['another namespace', { namespaces: ['media'] }, [own], false],
    ['its budget', { disruptionBudgets: ['apps/web'] }, [own], true],
    ['another budget', { disruptionBudgets: ['apps/db'] }, [own], false],
    ['a budget of that name elsewhere', { disruptionBudgets: ['media/web'] }, [own], false],
    ['one of its two budgets', { disruptionBudgets: ['apps/web'] }, [own, second], false],
    ['both of its budgets', { disruptionBudgets: ['apps/web', 'apps/front'] }, [own, second], true],
    ['its labels', { podSelector: { matchLabels: { app: 'web' } } }, [own], true],
    [
      'labels, one of which the pod does not have',
      { podSelector: { matchLabels: { app: 'web', a: 'b' } } },
      [own],
      false,
    ],
    [
      'an expression',
      { podSelector: { matchExpressions: [{ key: 'tier', operator: 'In', values: ['front'] }] } },
      [own],
      true,
    ],
    [
      'an expression that does not match',
      {
        podSelector: {
          matchLabels: { app: 'web' },
          matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }],
        },
      },
      [own],
      false,
    ],
    [
      'namespace and labels',
      { namespaces: ['apps'], podSelector: { matchLabels: { app: 'web' } } },
      [own],
      true,
    ],
    [
      'its namespace, not its labels',
      { namespaces: ['apps'], podSelector: { matchLabels: { app: 'x' } } },
      [own],
      false,
    ],
    [
      'its labels, not its budget',
      { disruptionBudgets: ['apps/db'], podSelector: { matchLabels: { app: 'web' } } },
      [own],
      false,
    ],
    ['its namespace, without a budget', { namespaces: ['apps'] }, [], false],
  ];
  test.each(cases)('%s', (_what, rule, budgets, named) => {
    expect(ruleFor(web, budgets, rules(rule)) !== undefined).toBe(named);
  });

  it('and without rules no pod is named', () => {
    expect(ruleFor(web, [own], rules())).toBeUndefined();
  });

  it('and the first of several matching rules decides', () => {
    const all = rules(
      { namespaces: ['media'], wait: '1m' },
      { namespaces: ['apps'], wait: '2m', deleteAfter: '30s' },
      { disruptionBudgets: ['apps/web'], wait: '3m' },
    );
    const found = ruleFor(web, [own], all);
    expect(found?.wait).toBe(120_000);
    expect(found && describeDeletion(found, all)).toBe(
      'deleted when still refused after 2m30s (drain.blockedPods.1)',
    );
  });
});

describe('the namespaces in which pods can be named', () => {
  const cases: [what: string, rules: Written, namespaces: 'all' | string[]][] = [
    ['no rules', [], []],
    [
      'namespaces and budgets, once each',
      [{ namespaces: ['b', 'a'] }, { disruptionBudgets: ['c/x', 'a/y'] }],
      ['a', 'b', 'c'],
    ],
    ['a budget only where both allow it', [{ namespaces: ['a'], disruptionBudgets: ['a/x', 'b/x'] }], ['a']],
    ['labels within namespaces', [{ namespaces: ['a'], podSelector: { matchLabels: { x: 'y' } } }], ['a']],
    ['labels alone', [{ namespaces: ['a'] }, { podSelector: { matchLabels: { x: 'y' } } }], 'all'],
  ];
  test.each(cases)('%s', (_what, written, namespaces) => {
    expect(namespacesOf(rules(...written))).toEqual(namespaces);
  });
});

it("a rule's waits must end before the drain times out", () => {
  const [short, long] = rules({ namespaces: ['a'], wait: '2m', deleteAfter: '2m' }, { namespaces: ['a'] });
  if (short === undefined || long === undefined) throw new Error('two rules were written');
  expect(outlastingRules([short, long], 10 * 60_000)).toEqual([1]);
  expect(outlastingRules([short, long], 10 * 60_000 + 1)).toEqual([]);
});
