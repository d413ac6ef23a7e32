import { partOf } from '../runtime/src/labels.ts';

/** The parts of the pipeline, as values of the label `app.kubernetes.io/component`. */
export type Component =
  | 'detector'
  | 'executor'
  | 'submitter'
  | 'node-check'
  | 'settings'
  | 'credentials'
  | 'alerts'
  | 'network';

/** Labels of every object that Terraform creates. */
export const commonLabels = {
  'app.kubernetes.io/name': partOf,
  'app.kubernetes.io/part-of': partOf,
  'app.kubernetes.io/managed-by': 'terraform',
} as const;

/** Labels of an object that belongs to one part. */
export function labelsOf(component: Component): Record<string, string> {
  return { ...commonLabels, 'app.kubernetes.io/component': component };
}

/**
 * Labels of a program's CronJob, Jobs and pods.
 *
 * @param app the name of the CronJob, as a short label: `kubectl get jobs -l app=k8s-version-check`.
 */
export function programLabels(component: Component, app: string): Record<string, string> {
  return { ...labelsOf(component), app };
}
