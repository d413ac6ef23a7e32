import { readFileSync } from 'node:fs';
import { ApiException, type V1ConfigMap, type V1DaemonSet, type V1Deployment } from '@kubernetes/client-node';
import { describe, expect, it, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { ApiError } from '../../cluster/api-error.ts';
import { parseRelease } from '../../release.ts';
import { remaining } from '../../rollout/remaining.ts';
import type { SettingsInput } from '../../settings/settings.ts';
import { clusterNode, testSettings } from '../../testing/cluster.ts';
import { previewOutput } from '../../testing/preview.ts';
import { checkGates, type GateContext } from '../gate.ts';
import { kubeadmAddOns } from './kubeadm-addons.ts';

/** What kubeadm 1.34 prints for an add-on. */
const printed = (name: string) =>
  readFileSync(new URL(`../../../../test/lab/nodes/add-ons/${name}.yaml`, import.meta.url), 'utf8');
const objectsIn = (text: string) =>
  parseAllDocuments(text).map((one) => one.toJS() as Record<string, unknown>);
const find = <T>(name: string, kind: string) =>
  objectsIn(printed(name)).find((object) => object.kind === kind) as T;

/** The objects of a cluster that kubeadm made, with what the API server adds. */
const cluster = () => {
  const proxy = find<V1DaemonSet>('kube-proxy', 'DaemonSet');
  const dns = find<V1Deployment>('coredns', 'Deployment');
  const filled = { restartPolicy: 'Always', schedulerName: 'default-scheduler', securityContext: {} };
  Object.assign(proxy.spec?.template.spec ?? {}, {
    ...filled,
    serviceAccount: 'kube-proxy',
    dnsPolicy: 'ClusterFirst',
  });
  Object.assign(dns.spec?.template.spec ?? {}, {
    ...filled,
    serviceAccount: 'coredns',
    terminationGracePeriodSeconds: 30,
  });
  Object.assign(proxy.spec ?? {}, {
    revisionHistoryLimit: 10,
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } },
  });
  return {
    configuration: 'apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n' as string | undefined,
    proxy: proxy as V1DaemonSet | undefined,
    proxyConfig: find<V1ConfigMap>('kube-proxy', 'ConfigMap') as V1ConfigMap | undefined,
    dns: [dns],
    dnsConfig: find<V1ConfigMap>('coredns', 'ConfigMap') as V1ConfigMap | undefined,
  };
};
type Cluster = ReturnType<typeof cluster>;

const there = async <T>(object: T | undefined, what: string): Promise<T> => {
  if (object === undefined) throw new ApiError(what, new ApiException(404, 'not found', {}, {}));
  return object;
};

interface Options {
  readonly settings?: Pick<SettingsInput, 'gates' | 'kubeadm'>;
  readonly target?: string;
  /** What the phase `addon` prints; null before kubeadm 1.32. */
  readonly addOns?: string | null;
  /** Proxy variables of the node. @default none */
  readonly proxies?: readonly string[];
}

const preview = `[upgrade] Reading\n---\n${printed('coredns')}[dryrun] LIST\n---\n${printed('kube-proxy')}`;

async function check(change: (live: Cluster) => void = () => {}, options: Options = {}) {
  const live = cluster();
  change(live);
  const nodes = [clusterNode('k8s-master', { controlPlane: true })];
  const target = parseRelease('test', options.target ?? '1.34.5');
  const { addOns = preview, proxies = [] } = options;
  const configMaps: Record<string, V1ConfigMap | undefined> = {
    'kubeadm-config':
      live.configuration === undefined ? undefined : { data: { ClusterConfiguration: live.configuration } },
    'kube-proxy': live.proxyConfig,
    coredns: live.dnsConfig,
  };
  const ctx = {
    nodes,
    target,
    remaining: () =>
      remaining(
        { nodes: async () => nodes, serverRelease: async () => parseRelease('test', '1.34.2') },
        target,
      ),
    shell: {
      read: async () => ({
        code: 0,
        output: proxies.map((name) => `proxy ${name}\n`).join('') + previewOutput({}, addOns ?? undefined),
      }),
    },
    settings: testSettings(options.settings ?? {}),
    client: {
      options: { signal: new AbortController().signal },
      call: (_what: string, request: () => Promise<unknown>) => request(),
      core: { readNamespacedConfigMap: ({ name }: { name: string }) => there(configMaps[name], name) },
      apps: {
        readNamespacedDaemonSet: () => there(live.proxy, 'kube-proxy'),
        listNamespacedDeployment: async () => ({ items: live.dns }),
      },
    },
  } as unknown as GateContext;
  const [verdict] = await checkGates([kubeadmAddOns], ctx);
  if (verdict === undefined) throw new Error('no verdict');
  return verdict;
}

const podOf = (workload: V1DaemonSet | V1Deployment | undefined) =>
  workload?.spec?.template.spec ?? ({} as never);

it('is open for the add-ons of kubeadm, whatever the API server fills in, and for another number of replicas', async () => {
  const { open, reasons, notes } = await check(({ dns: [dns] }) => {
    Object.assign(dns?.spec ?? {}, { replicas: 5 });
    Object.assign(podOf(dns).containers[0] ?? {}, { image: 'mirror.example/coredns:v1.11.1' });
    Object.assign(dns?.spec?.template.metadata ?? {}, {
      annotations: { 'kubectl.kubernetes.io/restartedAt': '2026-01-01T00:00:00Z' },
    });
  });
  expect({ open, reasons, notes }).toEqual({ open: true, reasons: [], notes: [] });
});

describe('F33: is closed by what kubeadm would install or replace', () => {
  const left = 'was it left out on purpose?';
  const cases: [what: string, change: (live: Cluster) => void, reason: string][] = [
    [
      'no kube-proxy',
      (live) => (live.proxy = live.proxyConfig = undefined),
      `the DaemonSet kube-proxy is not in kube-system, and kubeadm would install it: ${left}`,
    ],
    ['no kube-proxy, whose ConfigMap is left', (live) => (live.proxy = undefined), left],
    [
      'no CoreDNS',
      (live) => (live.dns = []),
      `the Deployment coredns is not in kube-system, and kubeadm would install it: ${left}`,
    ],
    [
      'CoreDNS of Helm under another name',
      ({ dns: [dns] }) => Object.assign(dns?.metadata ?? {}, { name: 'my-coredns' }),
      left,
    ],
    [
      'CoreDNS of Helm',
      ({ dns: [dns] }) =>
        Object.assign(dns?.metadata?.labels ?? {}, { 'app.kubernetes.io/managed-by': 'Helm' }),
      'managed by somebody else (app.kubernetes.io/managed-by=Helm)',
    ],
    [
      'an annotation of Helm',
      ({ proxy }) =>
        Object.assign(proxy?.metadata ?? {}, { annotations: { 'meta.helm.sh/release-name': 'proxy' } }),
      'meta.helm.sh/release-name=proxy',
    ],
    [
      'Argo CD',
      ({ proxy }) =>
        Object.assign(proxy?.metadata ?? {}, { annotations: { 'argocd.argoproj.io/tracking-id': 'a:b' } }),
      'argocd.argoproj.io/tracking-id=a:b',
    ],
    [
      'Flux',
      ({ proxy }) =>
        Object.assign(proxy?.metadata?.labels ?? {}, { 'kustomize.toolkit.fluxcd.io/name': 'infra' }),
      'kustomize.toolkit.fluxcd.io/name=infra',
    ],
    [
      'an operator',
      ({ dns: [dns] }) =>
        Object.assign(dns?.metadata ?? {}, { ownerReferences: [{ kind: 'DNS', name: 'default' }] }),
      'managed by somebody else (DNS default)',
    ],
    [
      'a second DNS',
      (live) => live.dns.push({ metadata: { name: 'node-dns', labels: { 'k8s-app': 'kube-dns' } } }),
      'the Deployments coredns and node-dns in kube-system',
    ],
    [
      'a selector that switches it off',
      ({ proxy }) => (podOf(proxy).nodeSelector = { 'kubernetes.io/os': 'linux', 'non-existing': 'true' }),
      'kubeadm would drop kube-proxy nodeSelector.non-existing in the DaemonSet kube-proxy',
    ],
    [
      'another selector',
      ({ proxy }) => (podOf(proxy).nodeSelector = { 'node.example/proxy': 'yes' }),
      'kube-proxy nodeSelector.node.example/proxy',
    ],
    [
      'an affinity',
      ({ proxy }) =>
        (podOf(proxy).affinity = {
          nodeAffinity: {},
          podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'x' }] },
        }),
      'kubeadm would drop kube-proxy affinity',
    ],
    [
      'limits of CoreDNS',
      ({ dns: [dns] }) =>
        Object.assign(podOf(dns).containers[0] ?? {}, { resources: { limits: { memory: '1Gi' } } }),
      'kubeadm would change coredns resources.limits.memory 1Gi → 170Mi and add coredns resources.requests',
    ],
    [
      'spread of CoreDNS',
      ({ dns: [dns] }) =>
        (podOf(dns).topologySpreadConstraints = [
          { maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' },
        ]),
      'drop coredns topologySpreadConstraints',
    ],
    [
      'another API server for kube-proxy',
      ({ proxyConfig }) => {
        const data = proxyConfig?.data ?? {};
        data['kubeconfig.conf'] = (data['kubeconfig.conf'] ?? '').replace('10.0.20.10', '127.0.0.1');
      },
      'kubeadm would change kube-proxy kubeconfig.conf.clusters',
    ],
  ];
  test.each(cases)('%s', async (_what, change, reason) => {
    const { open, reasons } = await check(change);
    expect(open).toBe(false);
    expect(reasons).toEqual([expect.stringContaining(reason)]);
    expect(reasons[0]).toMatch(
      /(proxy|dns): \{disabled: true\}.*kubeadm\.skipPhases: \[addon\/(kube-proxy|coredns)\]/,
    );
  });
});

const withoutProxy = (live: Cluster) => {
  live.proxy = live.proxyConfig = undefined;
};

it.each(['proxy: {disabled: true}', 'proxy:\n  disabled: true'])(
  'is open where kubeadm-config has %j',
  async (line) => {
    const { open } = await check((live) => {
      withoutProxy(live);
      live.configuration += `${line}\n`;
    });
    expect(open).toBe(true);
  },
);

it.each(['addon', 'addon/kube-proxy'])('is open where the settings skip %s', async (phase) => {
  const settings = { kubeadm: { skipPhases: [phase] } };
  expect((await check(withoutProxy, { settings })).open).toBe(true);
});

it('names the phases to skip with those that are skipped already, and no field that the configuration lacks', async () => {
  const { reasons } = await check(
    (live) => {
      withoutProxy(live);
      live.configuration = 'apiVersion: kubeadm.k8s.io/v1beta3\n';
    },
    { settings: { kubeadm: { skipPhases: ['addon/coredns'] } } },
  );
  expect(reasons).toEqual([expect.stringContaining('kubeadm.skipPhases: [addon/coredns, addon/kube-proxy]')]);
  expect(reasons[0]).not.toContain('disabled');
});

it('is open with a note for what gates.acceptChanges names', async () => {
  const whole = await check(withoutProxy, { settings: { gates: { acceptChanges: ['kube-proxy'] } } });
  expect({ open: whole.open, notes: whole.notes }).toEqual({
    open: true,
    notes: [expect.stringContaining('accepted in gates.acceptChanges')],
  });
  const acceptChanges = ['kube-proxy nodeSelector.off'];
  const off = ({ proxy }: Cluster) => {
    podOf(proxy).nodeSelector = { 'kubernetes.io/os': 'linux', off: 'true' };
  };
  expect(await check(off, { settings: { gates: { acceptChanges } } })).toMatchObject({
    open: true,
    notes: [expect.stringContaining('drop kube-proxy nodeSelector.off')],
  });
});

it('is open for the proxy variables of a node, which kubeadm passes on and a dry run leaves out', async () => {
  const behindProxy = ({ proxy }: Cluster) => {
    const [container] = podOf(proxy).containers ?? [];
    container?.env?.push({ name: 'HTTPS_PROXY', value: 'http://proxy' });
  };
  expect((await check(behindProxy)).open).toBe(false);
  expect((await check(behindProxy, { proxies: ['HTTPS_PROXY'] })).open).toBe(true);
  expect((await check(behindProxy, { proxies: ['NO_PROXY'] })).open).toBe(false);
});

it('before 1.32 kubeadm leaves out what has no ConfigMap, and does not show what it writes', async () => {
  const before = { target: '1.31.9', addOns: null };
  expect((await check(withoutProxy, before)).open).toBe(true);
  expect((await check((live) => (live.proxy = undefined), before)).open).toBe(false);
  const off = ({ proxy }: Cluster) => {
    podOf(proxy).nodeSelector = { 'kubernetes.io/os': 'linux', off: 'true' };
  };
  expect((await check(off, before)).reasons).toEqual([
    expect.stringContaining('kube-proxy nodeSelector.off'),
  ]);
  expect(await check(() => {}, before)).toMatchObject({
    open: true,
    notes: ['kubeadm does not show how it would change kube-proxy', expect.any(String)],
  });
});

it.each([undefined, '', '- a list', 'apiVersion: [', 'proxy: {disabled: perhaps}'])(
  'F31: is closed when kubeadm-config is %j',
  async (configuration) => {
    const { open, reasons } = await check((live) => (live.configuration = configuration));
    expect(open).toBe(false);
    expect(reasons).toEqual([expect.stringContaining('no readable ClusterConfiguration')]);
  },
);
