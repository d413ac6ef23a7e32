import { describe, expect, it, test } from 'vitest';
import { parseRelease } from '../../release.ts';
import { clusterNode, componentPod } from '../../testing/cluster.ts';
import { checkOneGate } from '../../testing/gate-context.ts';
import { etcdGate } from './etcd.ts';

const old = parseRelease('test', '1.33.9');

describe('etcd older than 3.5.26 is not upgraded to 3.6', () => {
  const check = (images: string[], more: object = {}) =>
    checkOneGate(etcdGate, {
      from: '1.33.9',
      to: '1.34.5',
      nodes: [0, 1].map((n) => clusterNode(`m${n}`, { controlPlane: true, release: old })),
      pods: images.map((image, n) => componentPod('etcd', `m${n}`, image)),
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

  it('F37: asks the etcd of the control plane, and no other', async () => {
    const bad = 'registry.k8s.io/etcd:3.5.3-0';
    const good = componentPod('etcd', 'm0', 'registry.k8s.io/etcd:3.5.26-0');
    good.spec?.containers.unshift({ name: 'backup', image: 'backup:v3.4.0' });
    const { metadata, ...other } = componentPod('etcd', 'm0', bad);
    const pods = [
      good,
      { ...other, metadata: { ...metadata, namespace: 'apps' } },
      { ...other, metadata: { ...metadata, name: 'etcd-0' } },
      { ...other, metadata: { ...metadata, annotations: {} } },
      componentPod('etcd', 'k8s-node1', bad),
    ];
    expect(await check([], { pods })).toMatchObject({ open: true, reasons: [] });
    const external = { pods: pods.slice(1), settings: { externalEtcdVersion: '3.5.26' } };
    expect(await check([], external)).toMatchObject({ open: true, reasons: [] });
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
