import { expect, it } from 'vitest';
import { pipeline } from '../test/constructs/synthesis.ts';

it('every object has the common labels', () => {
  const labelled = pipeline().all.map(
    (body) => body.metadata ?? (body.manifest as typeof body | undefined)?.metadata,
  );
  for (const metadata of labelled.filter((m) => m !== undefined)) {
    expect(metadata).toMatchObject({
      labels: {
        'app.kubernetes.io/name': 'k8s-version-upgrade',
        'app.kubernetes.io/part-of': 'k8s-version-upgrade',
        'app.kubernetes.io/managed-by': 'terraform',
      },
    });
  }
  expect(labelled.length).toBeGreaterThan(20);
});
