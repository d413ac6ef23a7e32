import { describe, expect, it } from 'vitest';
import { ownedBy, pod } from '../testing/cluster.ts';
import { controllingDaemonSet } from './pods.ts';

describe('the controlling DaemonSet', () => {
  it('is only an owner of kind DaemonSet that controls the pod', () => {
    const owned = (controls: boolean) => ({
      metadata: { ownerReferences: [ownedBy('DaemonSet', 'agent', controls)] },
    });
    expect(controllingDaemonSet(pod('one', owned(true)))).toBe('agent');
    expect(controllingDaemonSet(pod('one', owned(false)))).toBeUndefined();
    expect(controllingDaemonSet(pod('one'))).toBeUndefined();
    expect(controllingDaemonSet({})).toBeUndefined();
  });
});
