import type { V1LabelSelector, V1Pod, V1PodDisruptionBudget } from '@kubernetes/client-node';
import type { KubernetesClient } from './client.ts';

/** Every PodDisruptionBudget of the cluster. */
export async function listBudgets(client: KubernetesClient): Promise<V1PodDisruptionBudget[]> {
  const list = await client.call('list PodDisruptionBudgets', () =>
    client.policy.listPodDisruptionBudgetForAllNamespaces(),
  );
  return list.items;
}

/**
 * Whether a selector matches these labels, with the API's semantics: all of matchLabels and all of
 * matchExpressions. An empty selector matches everything, undefined nothing.
 */
export function selects(
  selector: V1LabelSelector | undefined,
  labels: Readonly<Record<string, string>>,
): boolean {
  if (selector === undefined) return false;
  const equal = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return equal && (selector.matchExpressions ?? []).every((e) => matches(e, labels));
}

function matches(
  expression: { key: string; operator: string; values?: string[] },
  labels: Readonly<Record<string, string>>,
): boolean {
  const value = labels[expression.key];
  const values = expression.values ?? [];
  switch (expression.operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      return false;
  }
}

/** The budgets that apply to this pod. */
export function budgetsFor(pod: V1Pod, budgets: readonly V1PodDisruptionBudget[]): V1PodDisruptionBudget[] {
  return budgets.filter(
    (budget) =>
      budget.metadata?.namespace === pod.metadata?.namespace &&
      selects(budget.spec?.selector, pod.metadata?.labels ?? {}),
  );
}

/**
 * Whether a budget allows no disruption even when every pod is healthy, such as `minAvailable: 1` for one
 * replica (F17). Waiting does not help; somebody has to change it.
 */
export function neverAllows(budget: V1PodDisruptionBudget): boolean {
  const status = budget.status;
  return status !== undefined && status.expectedPods > 0 && status.desiredHealthy >= status.expectedPods;
}

/** `default/web (0 allowed now: 2 healthy, 2 needed)` */
export function describeBudget(budget: V1PodDisruptionBudget): string {
  const { currentHealthy, desiredHealthy, disruptionsAllowed } = budget.status ?? {};
  const name = `${budget.metadata?.namespace}/${budget.metadata?.name}`;
  return `${name} (${disruptionsAllowed ?? 0} allowed now: ${currentHealthy ?? 0} healthy, ${desiredHealthy ?? 0} needed)`;
}
