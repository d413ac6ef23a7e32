import type { V1Container, V1Pod } from '@kubernetes/client-node';
import { describe, expect, it, test } from 'vitest';
import { parseRelease } from '../../release.ts';
import { clusterNode, componentPod } from '../../testing/cluster.ts';
import { checkOneGate, type NodeFiles } from '../../testing/gate-context.ts';
import { parseFacts } from './node-facts.ts';
import { removedFlags } from './removed-flags.ts';
import { removedFeatureGates } from './tables.ts';

const release = (text: string) => parseRelease('test', text);
const config = '/var/lib/kubelet/config.yaml';
const kubeadmFlags = '/var/lib/kubelet/kubeadm-flags.env';
const defaults = '/etc/default/kubelet';
const unit = '/etc/systemd/system/kubelet.service.d/20-extra.conf';
const pause = '--pod-infra-container-image=registry.k8s.io/pause:3.10';

describe('kubelet flags and feature gates that are gone in the target', () => {
  const check = (files: NodeFiles, more: object = {}) =>
    checkOneGate(removedFlags, { files: { 'k8s-node1': files }, ...more });

  const closed: [what: string, files: NodeFiles, reason: RegExp][] = [
    [
      'a flag in /etc/default',
      { [defaults]: `KUBELET_EXTRA_ARGS="--v=2 ${pause}"` },
      /pod-infra.*\/etc\/default/,
    ],
    [
      'a flag with its value as a separate word',
      { [defaults]: `A=--pod-infra-container-image x` },
      /pod-infra/,
    ],
    [
      'a flag in a drop-in',
      { [unit]: `[Service]\nExecStart=/usr/bin/kubelet ${pause}\n` },
      /pod-infra.*20-extra\.conf/,
    ],
    [
      'a gate in config.yaml',
      { [config]: 'featureGates: {ComponentSLIs: true}' },
      /ComponentSLIs in .*config.yaml/,
    ],
    [
      'a gate that is off',
      { [config]: 'featureGates:\n  SizeMemoryBackedVolumes: false' },
      /SizeMemoryBacked/,
    ],
    [
      'a gate in a flag',
      { [defaults]: 'X="--feature-gates=A=true,ComponentSLIs=true"' },
      /ComponentSLIs in .*default/,
    ],
  ];
  test.each(closed)('is closed for %s', async (_what, files, reason) => {
    const { open, reasons } = await check(files);
    expect(open).toBe(false);
    expect(reasons).toEqual([expect.stringMatching(reason)]);
    expect(reasons[0]).toMatch(/of k8s-node1 is gone in 1\.35.*kubernetes\/kubernetes #\d+/);
  });

  const opened: [what: string, files: NodeFiles][] = [
    ['nothing special', {}],
    [
      'the flag in the file that kubeadm cleans itself',
      { [kubeadmFlags]: `KUBELET_KUBEADM_ARGS="${pause}"` },
    ],
    ['a flag in a comment', { [defaults]: `# KUBELET_EXTRA_ARGS=${pause}\nKUBELET_EXTRA_ARGS=` }],
    ['a flag that only starts with the same name', { [defaults]: 'X=--pod-infra-container-image-x=1' }],
    ['a gate that stays', { [config]: 'featureGates: {NodeSwap: true}' }],
    ['a gate of a later minor', { [config]: 'featureGates: {HonorPVReclaimPolicy: true}' }],
    ['a gate that an earlier minor removed', { [config]: 'featureGates: {AppArmor: true}' }],
    ['no gates', { [config]: 'featureGates: null' }],
  ];
  test.each(opened)('is open for %s', async (_what, files) => {
    expect(await check(files)).toMatchObject({ open: true, reasons: [] });
  });

  const crossings: [gate: string, from: string, to: string, open: boolean][] = [
    ['AdmissionWebhookMatchConditions', '1.32.9', '1.33.5', false],
    ['JobPodFailurePolicy', '1.32.9', '1.33.5', false],
    ['PodDisruptionConditions', '1.33.5', '1.34.5', false],
    ['LoadBalancerIPMode', '1.34.5', '1.35.3', false],
    ['MemoryManager', '1.35.3', '1.36.1', false],
    ['SidecarContainers', '1.36.1', '1.37.1', false],
    ['SidecarContainers', '1.35.3', '1.36.1', true],
  ];
  test.each(crossings)('%s from %s to %s: open %s', async (gate, from, to, open) => {
    const files = { [config]: `featureGates: {${gate}: true}` };
    expect(await check(files, { from, to })).toMatchObject({ open, notes: [] });
  });

  it('each name is in one row, and every released minor has rows', () => {
    const names = removedFeatureGates.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const minors = new Set(removedFeatureGates.map(({ removedIn }) => removedIn));
    expect([...minors].sort()).toEqual(['1.32', '1.33', '1.34', '1.35', '1.36', '1.37']);
  });

  it('is open for a feature gate without a row, and notes it', async () => {
    const { open, notes } = await check({
      [config]: 'featureGates: {NodeSwap: true, AllAlpha: false, HonorPVReclaimPolicy: true}',
      [defaults]: 'X="--feature-gates=KubeletTracing=true,NodeSwap=true"',
    });
    expect(open).toBe(true);
    expect(notes).toEqual([
      expect.stringMatching(
        /^whether 1\.35 still has the feature gate KubeletTracing, NodeSwap is not known here; /,
      ),
    ]);
  });

  const server = (change: Partial<V1Container> = {}) =>
    componentPod('kube-apiserver', 'k8s-master', 'a:v1.34.5', change);
  const gates = '--feature-gates=NodeSwap=true,ComponentSLIs=false';

  test.each<[what: string, words: Partial<V1Container>]>([
    ['in one word', { command: ['kube-apiserver', gates] }],
    ['in two words', { command: ['kube-apiserver', ...gates.split(/=(.*)/).slice(0, 2)] }],
    ['in args', { args: ['--v=2', gates] }],
  ])('is closed by a feature gate of the API server %s, after a sidecar (F36)', async (_what, words) => {
    const pod = server(words);
    pod.spec?.containers.unshift({ name: 'kms-plugin', args: ['--feature-gates=KMSv1=true'] });
    const { reasons, notes } = await checkOneGate(removedFlags, { pods: [pod] });
    expect(reasons).toEqual([
      expect.stringMatching(/^the feature gate ComponentSLIs of kube-system\/kube-apiserver-k8s-master /),
    ]);
    expect(notes).toEqual([expect.stringContaining('has the feature gate NodeSwap is not')]);
  });

  const command = ['x', '--feature-gates=InitialCorruptCheck=true,ComponentSLIs=true'];
  test.each<[what: string, pod: V1Pod]>([
    ['etcd', componentPod('etcd', 'k8s-master', 'etcd:3.6.5-0', { command })],
    ['a sidecar', server({ name: 'kms-plugin', command })],
    ['a worker', componentPod('kube-apiserver', 'k8s-node1', 'a:v1.34.5', { command })],
    [
      'another namespace',
      { ...server({ command }), metadata: { ...server().metadata, namespace: 'tenant-a' } },
    ],
    ['another pod', { ...server({ command }), metadata: { ...server().metadata, name: 'kube-apiserver-0' } }],
    [
      'a pod that is no mirror',
      { ...server({ command }), metadata: { ...server().metadata, annotations: {} } },
    ],
  ])('F39: neither refuses nor notes the feature gates of %s', async (_what, pod) => {
    expect(await checkOneGate(removedFlags, { pods: [pod] })).toMatchObject({ reasons: [], notes: [] });
  });

  it('collects every reason of every node and of the control plane', async () => {
    const apiServer = server({ command: ['kube-apiserver', gates] });
    const both = { [config]: 'featureGates: {ComponentSLIs: true}', [defaults]: `X=${pause}` };
    const { reasons } = await checkOneGate(removedFlags, {
      pods: [apiServer],
      files: { 'k8s-master': both, 'k8s-node1': both },
    });
    expect(reasons.map((reason) => reason.split(' is gone')[0])).toEqual([
      'the feature gate ComponentSLIs of kube-system/kube-apiserver-k8s-master',
      ...['k8s-master', 'k8s-node1'].flatMap((node) => [
        `the flag --pod-infra-container-image in ${defaults} of ${node}`,
        `the feature gate ComponentSLIs in ${config} of ${node}`,
      ]),
    ]);
  });

  it('reads only the nodes that are left', async () => {
    const nodes = [
      clusterNode('k8s-master', { controlPlane: true, release: release('1.35.3') }),
      clusterNode('k8s-node1', { release: release('1.34.5') }),
    ];
    expect((await checkOneGate(removedFlags, { nodes, server: '1.35.3' })).contacted).toEqual(['k8s-node1']);
    const done = nodes.map((node) => ({ ...node, release: release('1.35.1') }));
    const { contacted, notAsked } = await checkOneGate(removedFlags, { nodes: done, server: '1.34.5' });
    expect([contacted, notAsked]).toEqual([[], 'not checked: every kubelet is at 1.35 already']);
    expect((await checkOneGate(removedFlags, { to: '1.34.7' })).contacted).toEqual([]);
    const resumed = await checkOneGate(removedFlags, { nodes: done, server: '1.35.3' });
    expect([resumed.contacted, resumed.notAsked]).toEqual([
      [],
      'not checked: the control plane and every kubelet are at 1.35 already',
    ]);
  });

  const unknown: [what: string, code: number, output: string, message: RegExp][] = [
    ['no output', 0, '', /on n1 could not be read: no output/],
    ['cut off', 0, `cgroup v2\nfile ${config} e30K`, /could not be read/],
    ['an error', 1, 'sudo: a password is required\nend', /could not be read/],
    ['no cgroup', 0, `cgroup unknown\nfile ${config} e30K\nend`, /n1 has no \/sys\/fs\/cgroup/],
    ['no configuration', 0, 'cgroup v2\nend', /n1 has no .*config\.yaml/],
    ['no YAML', 0, `cgroup v2\nfile ${config} ${btoa('a: [')}\nend`, /is not a valid KubeletConfiguration/],
    [
      'another type',
      0,
      `cgroup v2\nfile ${config} ${btoa('failCgroupV1: maybe')}\nend`,
      /is not a valid KubeletConfiguration/,
    ],
  ];
  test.each(unknown)('an unreadable answer of a node is an error: %s', (_what, code, output, message) => {
    expect(() => parseFacts('n1', code, output)).toThrow(message);
  });

  it('is closed when a node is unreadable (F31)', async () => {
    expect(await check({}, { output: 'sudo: a password is required' })).toMatchObject({
      open: false,
      unknown: true,
    });
  });
});
