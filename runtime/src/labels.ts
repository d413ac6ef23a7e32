/** `app.kubernetes.io/name` and `part-of` of every object of the pipeline, whoever makes it. */
export const partOf = 'k8s-version-upgrade';

/** What the programs put on the objects that they make themselves; the others are Terraform's. */
export const ownLabels = {
  'app.kubernetes.io/name': partOf,
  'app.kubernetes.io/part-of': partOf,
  'app.kubernetes.io/managed-by': 'k8s-upgrade',
} as const;
