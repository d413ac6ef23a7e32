import { expect, it } from 'vitest';
import type { ClusterNode } from '../../cluster/nodes.ts';
import { parseRelease } from '../../release.ts';
import { remaining } from '../../rollout/remaining.ts';
import type { SettingsInput } from '../../settings/settings.ts';
import { clusterNode, testSettings } from '../../testing/cluster.ts';
import { inFlightSince } from '../../testing/fake-context.ts';
import { type PreviewedFile, previewOutput } from '../../testing/preview.ts';
import { checkGates, type GateContext } from '../gate.ts';
import { kubeadmChanges } from './kubeadm-changes.ts';

const target = parseRelease('test', '1.34.5');
const master = clusterNode('k8s-master', { controlPlane: true });
const workers = ['k8s-node1', 'k8s-node2'].map((name) => clusterNode(name));
const kubelet = '/var/lib/kubelet/config.yaml';
const pod = (name: string, ...words: string[]) =>
  `spec:\n  containers:\n  - name: ${name}\n    command: ${JSON.stringify([name, ...words])}\n`;
const scheduler = '/etc/kubernetes/manifests/kube-scheduler.yaml';
const maxPods: Record<string, PreviewedFile> = { [kubelet]: ['maxPods: 250\n', 'maxPods: 110\n'] };

interface Case {
  /** By node; the others change nothing. */
  readonly files?: Readonly<Record<string, Readonly<Record<string, PreviewedFile>>>>;
  /** By node: an output in place of that. */
  readonly outputs?: Readonly<Record<string, { code: number; output: string }>>;
  readonly nodes?: readonly ClusterNode[];
  readonly settings?: SettingsInput extends infer S ? Partial<S> : never;
  readonly more?: Partial<GateContext>;
}

async function check({
  files = {},
  outputs = {},
  nodes = [master, ...workers],
  settings = {},
  more = {},
}: Case) {
  const commands: string[] = [];
  const read = async ({ name }: { name: string }, words: readonly string[]) => {
    commands.push(`${name}: ${words.slice(3).join(' ')}`.trim());
    return outputs[name] ?? { code: 0, output: previewOutput(files[name]) };
  };
  const cluster = { nodes: async () => [...nodes], serverRelease: async () => master.release };
  const ctx = {
    nodes,
    remaining: () => remaining(cluster, target),
    target,
    shell: { read },
    client: { options: { signal: new AbortController().signal } },
    settings: testSettings(settings as never),
    ...more,
  } as unknown as GateContext;
  const [verdict] = await checkGates([kubeadmChanges], ctx);
  return { ...verdict, commands };
}

it('is open when kubeadm changes nothing, and asks every node that is left', async () => {
  const done = clusterNode('k8s-node3', { release: target });
  const { open, notes, commands } = await check({ nodes: [master, ...workers, done] });
  expect({ open, notes, commands }).toEqual({
    open: true,
    notes: [],
    commands: ['k8s-master:', 'k8s-node1:', 'k8s-node2:'],
  });
});

it('F35: is closed by what one node alone has, names it, and says how to keep it and how to accept it', async () => {
  const { reasons, outcomeWhenClosed } = await check({ files: { 'k8s-node2': maxPods } });
  expect(outcomeWhenClosed).toBe('blocked');
  expect(reasons).toEqual([
    'on k8s-node2 kubeadm would change kubelet maxPods 250 → 110; to keep it, write it to the ConfigMap kubelet-config in kube-system, or for one node to kubeletconfiguration.yaml in the directory kubeadm.patches; or accept it with gates.acceptChanges: ["kubelet maxPods"]',
  ]);
});

it('F22 F35: is closed by a flag and by a block of a manifest on any control-plane node', async () => {
  const second = clusterNode('k8s-master2', { controlPlane: true });
  const edited: PreviewedFile = [
    `${pod('kube-scheduler', '--v=4')}  hostAliases: [{ip: 10.0.0.9}]\n`,
    pod('kube-scheduler'),
  ];
  const { reasons } = await check({
    nodes: [master, second],
    files: { 'k8s-master2': { [scheduler]: edited } },
  });
  expect(reasons).toEqual([
    expect.stringMatching(
      /^on k8s-master2 kubeadm would drop kube-scheduler --v, kube-scheduler hostAliases; .*extraArgs.*kube-scheduler\.yaml.*\["kube-scheduler --v","kube-scheduler hostAliases"\]$/,
    ),
  ]);
});

it('names the nodes once for the same change', async () => {
  const many = Array.from({ length: 6 }, (_, i) => clusterNode(`k8s-node${i + 1}`));
  const { reasons } = await check({
    nodes: [master, ...many],
    files: Object.fromEntries(many.map(({ name }) => [name, maxPods])),
  });
  expect(reasons).toEqual([
    expect.stringContaining(
      'on k8s-node1, k8s-node2, k8s-node3 and 3 more kubeadm would change kubelet maxPods',
    ),
  ]);
});

it('is open for what gates.acceptChanges names, with a note, and for nothing else', async () => {
  const settings = { gates: { acceptChanges: ['kubelet maxPods'] } };
  const accepted = await check({ files: { 'k8s-node2': maxPods }, settings });
  expect({ open: accepted.open, notes: accepted.notes }).toEqual({
    open: true,
    notes: ['on k8s-node2 kubeadm would change kubelet maxPods 250 → 110: accepted in gates.acceptChanges'],
  });
  const other = { [kubelet]: ['podPidsLimit: 9\n', 'kind: x\n'] } as const;
  const closed = await check({ files: { 'k8s-node1': other, 'k8s-node2': maxPods }, settings });
  expect(closed.reasons).toEqual([expect.stringMatching(/^on k8s-node1 .*drop kubelet podPidsLimit 9/)]);
});

it('F31: is closed when it cannot be found out, and says why', async () => {
  const cases: [output: { code: number; output: string }, why: string][] = [
    [{ code: 1, output: 'x\nerror: kubeadm upgrade node phase kubelet-config: no answer' }, 'no answer'],
    [{ code: 0, output: previewOutput().replace(/\nend$/, '') }, 'cannot be found out'],
    [
      { code: 0, output: previewOutput().replace(/phase .*\n/, '') },
      'would write to /var/lib/kubelet/config.yaml',
    ],
    [{ code: 0, output: previewOutput({ [kubelet]: ['a: [', 'a: 1\n'] }) }, `${kubelet} is no YAML object`],
    [{ code: 0, output: previewOutput({ [kubelet]: ['', 'a: 1\n'] }) }, `${kubelet} is no YAML object`],
  ];
  for (const [output, why] of cases) {
    const { open, reasons } = await check({ outputs: { 'k8s-node1': output } });
    expect(open).toBe(false);
    expect(reasons).toEqual([expect.stringContaining('what kubeadm would change on k8s-node1')]);
    expect(reasons?.[0]).toContain(why);
  }
});

it('never shows what a file holds, when the script was interrupted behind it', async () => {
  const secret = `file /etc/kubernetes/manifests/kube-apiserver.yaml ${'c2VjcmV0'.repeat(100)}`;
  const cases: [output: string, why: string][] = [
    [secret, 'its script was interrupted'],
    [`bash: line 7: Killed\nphase one ${'x'.repeat(400)}\n${secret}`, 'bash: line 7: Killed'],
    [`error: ${'long '.repeat(100)}`, 'long long'],
  ];
  for (const [output, why] of cases) {
    const { reasons = [] } = await check({ outputs: { 'k8s-node1': { code: -1, output } } });
    expect(reasons).toEqual([expect.stringContaining(`cannot be found out: ${why}`)]);
    expect(reasons[0]).not.toContain('c2VjcmV0');
    expect(reasons[0]?.length).toBeLessThan(400);
  }
});

it('an etcd whose manifest kubeadm does not show closes it, until it is accepted by name', async () => {
  const unknown = `unknown etcd ${Buffer.from('kubeadm init phase etcd local: no super-admin.conf\n').toString('base64')}`;
  const output = [
    `file /etc/kubernetes/manifests/etcd.yaml ${btoa(pod('etcd'))}`,
    unknown,
    previewOutput(),
  ].join('\n');
  const outputs = { 'k8s-master': { code: 0, output } };
  const closed = await check({ outputs });
  expect(closed.reasons).toEqual([
    expect.stringMatching(
      /^what kubeadm would change in etcd on k8s-master cannot .*: no super-admin\.conf; .*\["etcd"\]$/,
    ),
  ]);
  const accepted = await check({ outputs, settings: { gates: { acceptChanges: ['etcd'] } } });
  expect(accepted).toMatchObject({
    open: true,
    notes: [expect.stringContaining('accepted in gates.acceptChanges')],
  });
});

it('ignores zeros of the kubelet, and directories of certificates that the node has by now', async () => {
  const apiServer = '/etc/kubernetes/manifests/kube-apiserver.yaml';
  const withMounts = (...mounts: [name: string, path: string][]) => {
    const all = [['k8s-certs', '/etc/kubernetes/pki'], ...mounts];
    const volumeMounts = all.map(([name, mountPath]) => ({ mountPath, name }));
    const volumes = all.map(([name, path]) => ({ name, hostPath: { path } }));
    const text = pod('kube-apiserver');
    return `${text}    volumeMounts: ${JSON.stringify(volumeMounts)}\n  volumes: ${JSON.stringify(volumes)}\n`;
  };
  const now = withMounts();
  const withCa = withMounts(['etc-pki-ca-trust', '/etc/pki/ca-trust']);
  const zeros = 'logging: {flushFrequency: 0, options: {text: {infoBufferSize: "0"}}, verbosity: 0}\n';
  const files = {
    'k8s-master': {
      [apiServer]: [now, withCa] as const,
      [kubelet]: ['kind: x\n', `kind: x\n${zeros}`] as const,
    },
  };
  expect(await check({ files })).toMatchObject({ open: true, notes: [] });
  const withAudit = withMounts(['audit', '/var/log/audit']);
  for (const pair of [[now, withAudit] as const, [withCa, now] as const])
    expect(await check({ files: { 'k8s-master': { [apiServer]: pair } } })).toMatchObject({ open: false });
});

it('is asked although the rollout has changed the containerd of a node, and not once kubeadm has started', async () => {
  const started = Date.now() - 60_000;
  const inFlight = inFlightSince(started, { target });
  const files = { 'k8s-node1': maxPods };
  const changed = { ...master, changedAt: started + 1 };
  expect((await check({ nodes: [changed, ...workers], files, more: { inFlight } })).open).toBe(false);
  const half = { ...changed, unfinished: true, kubeadmOnly: true };
  expect((await check({ nodes: [half, ...workers], files, more: { inFlight } })).open).toBe(true);
});

it('passes kubeadm.patches, and leaves out the files of skipped phases', async () => {
  const { commands } = await check({ settings: { kubeadm: { patches: '/etc/kubernetes/patches' } } });
  expect(commands[0]).toBe('k8s-master: --patches /etc/kubernetes/patches');
  const skipped = { kubeadm: { skipPhases: ['kubelet-config', 'control-plane'] } };
  const edited = { [scheduler]: [pod('kube-scheduler', '--v=4'), pod('kube-scheduler')] } as const;
  const files = { 'k8s-master': { ...edited, ...maxPods } };
  expect(await check({ files, settings: skipped })).toMatchObject({ open: true });
  expect((await check({ files })).reasons).toHaveLength(2);
});

it('ignores what kubeadm writes for a new cluster, and the socket of the node', async () => {
  const etcd: PreviewedFile = [
    pod('etcd', '--initial-cluster=a=https://a,b=https://b', '--initial-cluster-state=existing'),
    pod('etcd', '--initial-cluster=b=https://b'),
  ];
  const socket: PreviewedFile = [
    'containerRuntimeEndpoint: unix:///run/cri.sock\n',
    'containerRuntimeEndpoint: unix:///var/run/containerd/containerd.sock\n',
  ];
  const files = { 'k8s-master': { '/etc/kubernetes/manifests/etcd.yaml': etcd, [kubelet]: socket } };
  expect(await check({ files })).toMatchObject({ open: true, notes: [] });
});

it('is not asked again once the rollout has changed a node', async () => {
  const started = Date.now() - 60_000;
  const inFlight = inFlightSince(started, { target });
  const nodes = [{ ...master, release: target, changedAt: started + 1 }, ...workers];
  const { open, notAsked, commands } = await check({
    nodes,
    files: { 'k8s-node1': maxPods },
    more: { inFlight },
  });
  expect({ open, commands }).toEqual({ open: true, commands: [] });
  expect(notAsked).toContain('before it changed a node');
  const before = [{ ...master, release: target, changedAt: started - 1 }, ...workers];
  expect((await check({ nodes: before, files: { 'k8s-node1': maxPods }, more: { inFlight } })).open).toBe(
    false,
  );
});
