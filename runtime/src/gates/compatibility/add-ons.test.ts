import { describe, expect, it, test } from 'vitest';
import { parseSettings } from '../../settings/settings.ts';
import { checkOneGate, imagePod } from '../../testing/gate-context.ts';
import { addOns } from './add-ons.ts';

const calico = {
  name: 'Calico',
  image: '*/calico/node',
  versions: '>=3.30 <3.31',
  kubernetes: '1.31 - 1.34',
};
const newer = { ...calico, versions: '>=3.31 <3.32', kubernetes: '1.32 - 1.35' };
const check = (images: string[], rows = [calico, newer], more: object = {}) =>
  checkOneGate(addOns, {
    pods: images.map((image, n) => imagePod('calico-system', `p${n}`, image)),
    settings: { addOns: rows },
    ...more,
  });

describe('running add-ons and the operator’s table', () => {
  const cases: [image: string, open: boolean, unknown: boolean][] = [
    ['docker.io/calico/node:v3.30.2', false, false],
    ['docker.io/calico/node:v3.31.0', true, false],
    ['mirror.example:5000/calico/node:v3.30.2@sha256:abc', false, false],
    ['docker.io/calico/node:v3.31.0-rocky.1', true, false],
    ['docker.io/calico/node:3.30', false, false],
    ['docker.io/calico/node:latest', false, true],
    ['docker.io/calico/node@sha256:abc', false, true],
    ['docker.io/calico/node:sha-4831', false, true],
    ['docker.io/calico/nodes:v3.30.2', true, false],
    ['docker.io/acalico/node:v3.30.2', true, false],
  ];
  test.each(cases)('%s: open %s, unknown %s', async (image, open, unknown) => {
    expect(await check([image])).toMatchObject({ open, unknown });
  });

  it('names the add-on, its version and what its row supports, once for any number of pods', async () => {
    const image = 'docker.io/calico/node:v3.30.2';
    expect((await check([image, image])).reasons).toEqual([
      'Calico 3.30.2 supports Kubernetes 1.31 - 1.34 according to gates.addOns, not 1.35; upgrade it first',
    ]);
  });

  it('collects the excluded and the unknown add-ons', async () => {
    const { reasons } = await check(['docker.io/calico/node:v3.30.2', 'quay.io/calico/node:latest']);
    expect(reasons).toEqual([
      expect.stringContaining('Calico 3.30.2'),
      expect.stringContaining('quay.io/calico/node:latest does not show the version of Calico'),
    ]);
  });

  it('is open with a note for a version without a row', async () => {
    const verdict = await check(['docker.io/calico/node:v3.32.1']);
    expect(verdict).toMatchObject({
      open: true,
      notes: ['gates.addOns has no row for Calico 3.32.1'],
    });
  });

  it('notes system images without a row, except kubeadm’s own; workload images are not noted', async () => {
    const pods = [
      imagePod('kube-system', 'coredns', 'registry.k8s.io/coredns/coredns:v1.12.1'),
      imagePod('kube-system', 'kube-proxy', 'registry.k8s.io/kube-proxy:v1.34.5'),
      imagePod('kube-system', 'flannel', 'ghcr.io/flannel-io/flannel:v0.27.3'),
      imagePod('storage', 'csi', 'registry.k8s.io/sig-storage/nfsplugin:v4.11.0', {
        spec: {
          priorityClassName: 'system-node-critical',
          containers: [{ name: 'nfs', image: 'registry.k8s.io/sig-storage/nfsplugin:v4.11.0' }],
        },
      }),
      imagePod('apps', 'web', 'docker.io/library/web:1.0.0'),
    ];
    const { open, notes } = await checkOneGate(addOns, { pods });
    expect(open).toBe(true);
    expect(notes).toEqual([
      'gates.addOns has no row for ghcr.io/flannel-io/flannel:v0.27.3, registry.k8s.io/sig-storage/nfsplugin:v4.11.0; check them yourself',
    ]);
  });

  it('ignores finished pods', async () => {
    const done = imagePod('calico-system', 'done', 'docker.io/calico/node:v3.30.2', {
      status: { phase: 'Succeeded' },
    });
    expect((await check([], undefined, { pods: [done] })).open).toBe(true);
  });

  it('is not checked before a patch', async () => {
    expect(await check(['docker.io/calico/node:v3.30.2'], undefined, { to: '1.34.7' })).toMatchObject({
      open: true,
      notAsked: expect.stringContaining('at 1.34 already'),
    });
  });

  it.each([
    [
      'an invalid range',
      { kubernetes: 'newer' },
      'gates.addOns.0.kubernetes: given "newer", expected a range',
    ],
    ['an image with its tag', { image: 'docker.io/calico/node:v3' }, 'expected an image without its tag'],
  ])('settings refuse %s', (_what, change, message) => {
    const urls = { prometheus: { url: 'http://p' }, pushgateway: { url: 'http://g' } };
    const settings = { ...urls, gates: { addOns: [{ ...calico, ...change }] } };
    expect(() => parseSettings('settings.yaml', settings)).toThrow(message);
  });
});
