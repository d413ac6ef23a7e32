import { describe, expect, it } from 'vitest';
import { checkOneGate } from '../../testing/gate-context.ts';
import { cgroupGate } from './cgroup.ts';

const config = '/var/lib/kubelet/config.yaml';

describe('the gate cgroup, with cgroup v1 from 1.35 on', () => {
  const v1 = { cgroup: { 'k8s-node1': 'v1' } };
  const allowed = { files: { 'k8s-node1': { [config]: 'failCgroupV1: false' } } };

  it('is closed, with the fix in its reason', async () => {
    const { open, reasons } = await checkOneGate(cgroupGate, v1);
    expect(open).toBe(false);
    expect(reasons).toEqual([
      expect.stringMatching(/^k8s-node1 runs cgroup v1: .*failCgroupV1: false.*#134298/),
    ]);
  });

  it('is open only if both the kubelet and kubeadm are configured for cgroup v1', async () => {
    expect((await checkOneGate(cgroupGate, { ...v1, ...allowed })).reasons).toEqual([
      expect.stringContaining('add SystemVerification to kubeadm.ignorePreflightErrors'),
    ]);
    const kubeadm = { ignorePreflightErrors: ['SystemVerification'] };
    expect((await checkOneGate(cgroupGate, { ...v1, kubeadm })).reasons).toHaveLength(1);
    expect(await checkOneGate(cgroupGate, { ...v1, ...allowed, kubeadm })).toMatchObject({
      open: true,
      notes: [expect.stringContaining('k8s-node1 runs cgroup v1, which its configuration still allows')],
    });
    const explicit = { files: { 'k8s-node1': { [config]: 'failCgroupV1: true' } } };
    expect((await checkOneGate(cgroupGate, { ...v1, ...explicit, kubeadm })).open).toBe(false);
  });

  it.each([
    ['v2 everywhere', {}],
    ['before 1.35', { ...v1, from: '1.33.9', to: '1.34.5' }],
    ['after 1.35, where such a kubelet runs already', { ...v1, from: '1.35.3', to: '1.36.1' }],
  ])('is open: %s', async (_what, given) => {
    expect(await checkOneGate(cgroupGate, given)).toMatchObject({ open: true, reasons: [] });
  });
});
