import { describe, expect, it, test } from 'vitest';
import { checkOneGate, imagePod } from '../../testing/gate-context.ts';
import { etcdGate } from './etcd.ts';

describe('etcd older than 3.5.26 is not upgraded to 3.6', () => {
  const etcd = (image: string, node = 'k8s-master') =>
    imagePod('kube-system', `etcd-${node}`, image, {
      metadata: { namespace: 'kube-system', name: `etcd-${node}`, labels: { component: 'etcd' } },
      spec: { containers: [{ name: 'etcd', image }] },
    });
  const check = (images: string[], more: object = {}) =>
    checkOneGate(etcdGate, {
      from: '1.33.9',
      to: '1.34.5',
      pods: images.map((image, n) => etcd(image, `m${n}`)),
      ...more,
    });

  const cases: [image: string, open: boolean][] = [
    ['registry.k8s.io/etcd:3.5.26-0', true],
    ['registry.k8s.io/etcd:3.5.25-0', false],
    ['registry.k8s.io/etcd:3.5.3-0', false],
    ['quay.io/coreos/etcd:v3.5.27', true],
    ['quay.io/coreos/etcd:v3.5.24', false],
    ['registry.k8s.io/etcd:3.6.5-0', true],
    ['registry.k8s.io/etcd:3.10.0-0', true],
    ['registry.k8s.io/etcd:3.4.13-0', false],
    ['mirror.example:5000/etcd:3.5.26-0@sha256:abc', true],
  ];
  test.each(cases)('%s: open %s', async (image, open) => {
    expect(await check([image])).toMatchObject({ open, unknown: false });
  });

  it('names the member, the version it needs and the source', async () => {
    const { reasons } = await check(['registry.k8s.io/etcd:3.5.26-0', 'registry.k8s.io/etcd:3.5.24-0']);
    expect(reasons).toEqual([
      expect.stringMatching(/^kube-system\/etcd-m1 is etcd 3\.5\.24.*1\.34 brings 3\.6.*3\.5\.26.*#19557/),
    ]);
  });

  it.each(['registry.k8s.io/etcd@sha256:abc', 'registry.k8s.io/etcd:latest'])(
    'is closed for an unknown version: %s',
    async (image) => {
      expect(await check([image])).toMatchObject({
        open: false,
        unknown: true,
        reasons: [expect.stringContaining('does not show the version of etcd')],
      });
    },
  );

  it('the version of an external etcd is unknown until the settings name it', async () => {
    expect(await check([])).toMatchObject({
      open: false,
      unknown: true,
      reasons: [expect.stringContaining('set gates.externalEtcdVersion')],
    });
    expect(await check([], { settings: { externalEtcdVersion: '3.5.26' } })).toMatchObject({ open: true });
    expect((await check([], { settings: { externalEtcdVersion: '3.5.9' } })).reasons).toEqual([
      expect.stringContaining('the external etcd (gates.externalEtcdVersion) is etcd 3.5.9'),
    ]);
  });

  it('is not checked when the target brings no other minor of etcd, or before a patch', async () => {
    expect(await check(['any:1'], { from: '1.32.9', to: '1.33.2' })).toMatchObject({
      open: true,
      reasons: [],
    });
    expect((await check(['any:1'], { from: '1.33.2', to: '1.33.9' })).notAsked).toContain(
      'the control plane and every kubelet are at 1.33 already',
    );
  });
});
