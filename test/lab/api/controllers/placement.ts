import { matchesExpression } from '../selectors.ts';
import type { Node, NodeSelectorTerm, PodSpec, Taint, Toleration } from '../types.ts';

/** Whether the toleration covers the taint. */
export function tolerates(t: Toleration, taint: Taint): boolean {
  if ((t.effect ?? '') !== '' && t.effect !== taint.effect) return false;
  if ((t.key ?? '') !== '' && t.key !== taint.key) return false;
  if ((t.key ?? '') === '') return t.operator === 'Exists';
  return t.operator === 'Exists' || (t.value ?? '') === (taint.value ?? '');
}

const matchesTerm = (term: NodeSelectorTerm, node: Node): boolean => {
  const labels = node.metadata.labels ?? {};
  const fields = { 'metadata.name': node.metadata.name };
  const [byLabel, byField] = [term.matchExpressions ?? [], term.matchFields ?? []];
  if (byLabel.length + byField.length === 0) return false;
  return (
    byLabel.every((e) => matchesExpression(e, labels)) && byField.every((e) => matchesExpression(e, fields))
  );
};

const unschedulable: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

/** Why the pod cannot run on the node, in the scheduler's wording; undefined when it can. */
export function nodeAccepts(spec: PodSpec, node: Node): string | undefined {
  const tolerations = spec.tolerations ?? [];
  const tolerated = (taint: Taint) => tolerations.some((t) => tolerates(t, taint));
  if (node.spec?.unschedulable === true && !tolerated(unschedulable)) return 'node(s) were unschedulable';
  const taint = (node.spec?.taints ?? []).find((t) => t.effect !== 'PreferNoSchedule' && !tolerated(t));
  if (taint !== undefined) return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`;
  return matchesAffinity(spec, node) ? undefined : "node(s) didn't match Pod's node affinity/selector";
}

function matchesAffinity(spec: PodSpec, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  const selected = Object.entries(spec.nodeSelector ?? {}).every(([k, v]) => labels[k] === v);
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (!selected || required === undefined) return selected;
  return required.nodeSelectorTerms.some((term) => matchesTerm(term, node));
}

/**
 * Sum of the weights of the preferences that the node meets, minus one per untolerated PreferNoSchedule
 * taint.
 */
export function preference(spec: PodSpec, node: Node): number {
  const preferred = spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const met = preferred.filter((p) => matchesTerm(p.preference, node)).reduce((sum, p) => sum + p.weight, 0);
  const avoided = (node.spec?.taints ?? []).filter(
    (taint) =>
      taint.effect === 'PreferNoSchedule' && !(spec.tolerations ?? []).some((t) => tolerates(t, taint)),
  );
  return met - avoided.length;
}
