/** `app.kubernetes.io/name` and `part-of` of every object of the pipeline, whatever program creates it. */
export const partOf = 'k8s-version-upgrade';

/** Labels of the objects that the programs create themselves; all others are Terraform's. */
export const ownLabels = {
  'app.kubernetes.io/name': partOf,
  'app.kubernetes.io/part-of': partOf,
  'app.kubernetes.io/managed-by': 'k8s-upgrade',
} as const;
