import { partOf } from '../runtime/src/labels.ts';

/** The parts of the pipeline, as `app.kubernetes.io/component` has them. */
export type Component =
  | 'detector'
  | 'executor'
  | 'submitter'
  | 'settings'
  | 'credentials'
  | 'alerts'
  | 'network';

/** What every object carries that Terraform makes. */
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
 * Labels of a program's Jobs and pods. `app` is the short one for people: `kubectl get jobs -l app=k8s-version-check`.
 * It follows the program's CronJob.
 */
export function programLabels(component: Component, app: string): Record<string, string> {
  return { ...labelsOf(component), app };
}
