import { describe, expect, it } from 'vitest';
import { pipeline } from '../test/constructs/synthesis.ts';

describe('the namespace', () => {
  const [namespace] = pipeline().resources('kubernetes_namespace_v1');
  it('enforces Pod Security `restricted`', () => {
    expect(namespace?.metadata).toMatchObject({
      name: 'k8s-upgrade',
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
    });
  });

  it('keeps the annotations of a rollout during an apply', () => {
    expect(namespace?.lifecycle).toEqual({ ignore_changes: ['metadata[0].annotations'] });
  });
});
