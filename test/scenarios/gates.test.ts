import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { annotationKeys, metrics, objectNames } from '../../runtime/src/names.ts';
import type { KubeObject } from '../lab/api/types.ts';
import { labNodes } from '../lab/cluster.ts';
import type { AnyLab } from '../lab/lab.ts';
import { changesByPrograms, cordonChanges } from './observe.ts';
import { embedded, startLab } from './start-lab.ts';

/**
 * What closes the gates, in the whole program: asked by `plan` and at preflight, with nothing ever changed.
 */

const keys = annotationKeys('viktorbarzin.me');
const minor = ['--target-version', '1.35.3', '--kind', 'minor'];
const patch = ['--target-version', '1.34.6', '--kind', 'patch'];
const flannel = { name: 'Flannel', image: '*/flannel', versions: '<0.28', kubernetes: '1.30 - 1.34' };

let lab: AnyLab;
const start = async () => {
  lab = await startLab({
    nodes: labNodes.slice(0, 3),
    release: '1.34.5',
    published: ['1.34.5', '1.34.6', '1.35.1', '1.35.3'],
  });
};
const expectNothingChanged = async () => {
  expect(changesByPrograms(lab).filter((change) => !change.includes('etcdctl'))).toEqual([]);
  expect(await cordonChanges(lab)).toEqual([]);
  const { annotations = {} } =
    (await lab.api.get('namespaces', undefined, objectNames.namespace))?.metadata ?? {};
  expect(Object.keys(annotations)).not.toContain(keys.inFlight);
};

/** What `plan` prints of one gate: its state, then its lines. */
async function plan(gate: string, request = minor, more: readonly string[] = []) {
  const { exitCode, stdout, stderr } = await lab.cli(['plan', ...request, ...more]);
  const [, state, lines = ''] =
    new RegExp(`^ {2}(open|CLOSED|HELD) +${gate}(?: {2,}\\S.*)?\\n((?: {12}.*\\n)*)`, 'm').exec(stdout) ?? [];
  if (state === undefined) throw new Error(`no gate ${gate} in ${stdout}${stderr}`);
  return { exitCode, state, said: lines.trim().split(/\n +/).filter(Boolean) };
}

describe('before a minor', () => {
  beforeAll(start);
  afterAll(() => lab.stop());
  afterEach(expectNothingChanged);

  it('every gate is open on a cluster that fits; what no row is about is said', async () => {
    const { exitCode, state, said } = await plan('add-ons');
    expect({ exitCode, state }).toEqual({ exitCode: 0, state: 'open' });
    expect(said).toEqual([
      'note: gates.addOns has no row for ghcr.io/flannel-io/flannel:v0.27.3; check them yourself',
    ]);
  });

  it('a dry-run asks them as well, and goes all the way', async () => {
    const { exitCode, stdout } = await lab.cli(['run', ...minor, '--dry-run']);
    expect(exitCode, stdout).toBe(0);
    expect(stdout).toContain('gates.addOns has no row for ghcr.io/flannel-io/flannel:v0.27.3');
    // etcd's own `--feature-gates` are none of Kubernetes.
    expect(stdout).not.toContain('feature gate');
  });

  it('a patch skips them all, and each says so', async () => {
    const { exitCode, stdout } = await lab.cli(['plan', ...patch]);
    expect(exitCode).toBe(0);
    for (const gate of ['removed-apis', 'removed-flags', 'containerd', 'etcd', 'cgroup', 'add-ons'])
      expect(stdout).toMatch(
        new RegExp(
          `open +${gate}\\n +not checked: the control plane and every kubelet are at 1\\.34 already\\n`,
        ),
      );
  });

  it('F31: an API server that Prometheus does not scrape is unknown, and closed', async () => {
    lab.prometheus.apiServers = [];
    const { exitCode, state, said } = await plan('removed-apis');
    lab.prometheus.apiServers = ['127.0.1.1:6443'];
    expect({ exitCode, state }).toEqual({ exitCode: 3, state: 'CLOSED' });
    expect(said).toEqual([expect.stringMatching(/^unknown, so closed: .*of 0 API servers, but there are 1/)]);
  });

  it('a run is blocked with every reason: an API version, a flag, a gate, cgroup v1, containerd', async () => {
    const node = lab.node('k8s-node1');
    node.write(
      '/etc/default/kubelet',
      'KUBELET_EXTRA_ARGS=--pod-infra-container-image=registry.k8s.io/pause:3.9\n',
    );
    const config = node.read('/var/lib/kubelet/config.yaml');
    node.write('/var/lib/kubelet/config.yaml', `${config}featureGates:\n  ComponentSLIs: true\n`);
    lab.node('k8s-node2').useCgroup('v1');
    lab.prometheus.callDeprecated({
      group: 'storage.k8s.io',
      version: 'v1alpha1',
      resource: 'volumeattributesclasses',
      removed_release: '1.35',
    });
    await setContainerd('k8s-node2', '1.5.18');
    const { exitCode, stdout } = await lab.cli(['run', ...minor]);
    expect(exitCode).toBe(3);
    for (const reason of [
      'removed-apis: storage.k8s.io/v1alpha1 volumeattributesclasses is still called, but 1.35 does not serve it',
      'removed-flags: the flag --pod-infra-container-image in /etc/default/kubelet of k8s-node1 is gone in 1.35',
      'removed-flags: the feature gate ComponentSLIs in /var/lib/kubelet/config.yaml of k8s-node1 is gone in 1.35',
      'cgroup: k8s-node2 runs cgroup v1',
      'containerd: k8s-node2 has containerd 1.5.18, but 1.26 needs 1.6.0',
    ]) {
      expect(stdout).toContain(reason);
      expect(lab.slack.messages.at(-1)?.text).toContain(reason);
    }
    expect(lab.pushgateway.value(metrics.outcome.name, { outcome: 'blocked' })).toBe(1);
    node.write('/etc/default/kubelet', '');
    node.write('/var/lib/kubelet/config.yaml', config);
    lab.node('k8s-node2').useCgroup('v2');
    lab.prometheus.setQuery('apiserver_requested_deprecated_apis', []);
    await setContainerd('k8s-node2', '2.1.4');
    expect((await lab.cli(['plan', ...minor])).exitCode).toBe(0);
  });

  // kube-apiserver lets nobody change that annotation, so there is nothing to ask it.
  if (embedded.isChosen)
    it('an etcd that is no static pod is unknown until the settings say which it is', async () => {
      const annotate = async (name: string) =>
        lab.api.modify('pods', 'kube-system', 'etcd-k8s-master', ({ metadata }) => {
          metadata.annotations = { [name]: 'hash' };
        });
      await annotate('example.com/not-mirror');
      const unknown = await plan('etcd');
      const known = await plan('etcd', minor, await settingsWith({ externalEtcdVersion: '3.5.26' }));
      await annotate('kubernetes.io/config.mirror');
      expect(unknown).toMatchObject({ exitCode: 3, state: 'CLOSED' });
      expect(unknown.said.join()).toContain('set gates.externalEtcdVersion');
      expect(known).toMatchObject({ exitCode: 0, state: 'open' });
    });

  it('an add-on that the operator’s table excludes closes the gate', async () => {
    const { exitCode, said } = await plan('add-ons', minor, await settingsWith({ addOns: [flannel] }));
    expect(exitCode).toBe(3);
    expect(said).toEqual([
      'Flannel 0.27.3 supports Kubernetes 1.30 - 1.34 according to gates.addOns, not 1.35; upgrade it first',
    ]);
  });
});

describe('before anything', () => {
  beforeAll(start);
  afterAll(() => lab.stop());
  afterEach(expectNothingChanged);

  it('F17: a budget that never allows an eviction is named with its pod before any cordon', async () => {
    await lab.api.apply([budget('db', 3)]);
    const { exitCode, said } = await plan('drain', patch);
    await lab.api.apply([budget('db', 2)]);
    expect(exitCode).toBe(3);
    expect(said.length).toBeGreaterThan(0);
    for (const line of said.filter((one) => !one.startsWith('note: ')))
      expect(line).toMatch(/^apps\/db-\d on k8s-\S+: PodDisruptionBudget apps\/db .*never allows/);
  });

  it('F32: what fires outside of the gating groups stops nobody, until the settings name its group', async () => {
    lab.prometheus.groups.set('Elsewhere', ['DiskAlmostFull']);
    lab.prometheus.fire('DiskAlmostFull', { severity: 'critical' });
    expect(await plan('alerts', patch)).toMatchObject({ exitCode: 0, state: 'open', said: [] });
    const both = await settingsWith({}, { ruleGroups: ['Upgrade Gates', 'Elsewhere'] });
    const { exitCode, said } = await plan('alerts', patch, both);
    lab.prometheus.clear('DiskAlmostFull');
    expect(exitCode).toBe(3);
    expect(said).toEqual([expect.stringContaining('DiskAlmostFull')]);
  });

  it.each([
    ['its rules are not loaded', () => lab.prometheus.groups.delete('Upgrade Gates'), 'has no rule group'],
    ['it answers 503', () => Object.assign(lab.prometheus, { faults: { status: 503 } }), 'answered 503'],
    [
      'a rule does not evaluate',
      () => Object.assign(lab.prometheus, { faults: { body: brokenRule } }),
      'Prometheus cannot evaluate rules: K8sVersionSkew',
    ],
  ])('F31: a Prometheus that cannot tell closes the gate: %s', async (_what, fault, message) => {
    const groups = lab.prometheus.groups.get('Upgrade Gates') ?? [];
    fault();
    const { exitCode, state, said } = await plan('alerts', patch);
    lab.prometheus.faults = {};
    lab.prometheus.groups.set('Upgrade Gates', groups);
    expect({ exitCode, state }).toEqual({ exitCode: 3, state: 'CLOSED' });
    expect(said).toEqual([expect.stringContaining(message)]);
    expect(said[0]).toContain('unknown, so closed');
  });

  // Each leaves the next one as it was, the failure last.
  it.each([
    ['done', 0, () => {}, () => {}],
    ['held', 0, () => setReadySince('k8s-node1', 0), () => setReadySince('k8s-node1', 2 * 86_400_000)],
    [
      'blocked',
      3,
      () => lab.prometheus.fire('NodeDiskPressure'),
      () => lab.prometheus.clear('NodeDiskPressure'),
    ],
    ['failed', 1, () => lab.node('k8s-master').faults.set('etcd-empty', {}), () => {}],
  ] as const)(
    'F15: %s is distinguished in the last message and metric',
    async (outcome, exitCode, cause, repair) => {
      const before = lab.slack.messages.length;
      await cause();
      const run = await lab.cli(['run', ...patch, '--stages', 'preflight,snapshot']);
      await repair();
      expect(run.exitCode, run.stdout + run.stderr).toBe(exitCode);
      const outcomes = ['done', 'held', 'blocked', 'failed'];
      const gauges = outcomes.filter(
        (one) => lab.pushgateway.value(metrics.outcome.name, { outcome: one }) === 1,
      );
      expect(gauges).toEqual([outcome]);
      const reported = lab.slack.messages.slice(before).map(({ text }) => text);
      const ends = reported.flatMap((text) => /Kubernetes 1\.34\.6: (\w+): /.exec(text)?.[1] ?? []);
      expect(ends).toEqual([outcome]);
    },
  );

  it('F15: held is distinguished in the output of submit, though its exit code is that of done', async () => {
    await setReadySince('k8s-node1', 0);
    const stages = 'preflight';
    const inputs = JSON.stringify({ target_version: '1.34.6', kind: 'patch', stages });
    const { exitCode, output } = await lab.submit(inputs);
    await setReadySince('k8s-node1', 2 * 86_400_000);
    expect(exitCode, output).toBe(0);
    expect(output).toContain('the run ended: held');
  });
});

describe('before anything, on nodes that could not be upgraded once they are empty', () => {
  beforeAll(start);
  afterAll(() => lab.stop());
  afterEach(expectNothingChanged);

  it('F24 F25 F27: an expired key and another host key are found out with nothing drained', async () => {
    lab.node('k8s-node1').expireRepositoryKey();
    lab.node('k8s-node2').changeHostKey();
    const { exitCode, stdout, stderr } = await lab.cli(['run', ...patch]);
    expect(exitCode, stdout + stderr).toBe(3);
    const said = stdout + stderr;
    expect(said).toMatch(/upgradable: list_packages on k8s-node1 .* has expired/);
    expect(said).toMatch(/upgradable: node k8s-node2 \(.*\) shows the host key SHA256:/);
    const { exitCode: planned, said: shown } = await plan('upgradable', patch);
    expect({ planned, shown: shown[0] }).toEqual({ planned: 3, shown: expect.stringContaining('k8s-node2') });
  });
});

const brokenRule = JSON.stringify({
  status: 'success',
  data: {
    groups: [
      {
        name: 'Upgrade Gates',
        rules: [
          {
            name: 'K8sVersionSkew',
            type: 'alerting',
            health: 'err',
            lastError: 'many-to-many matching',
            alerts: [],
          },
        ],
      },
    ],
  },
});

const budget = (app: string, minAvailable: number): KubeObject =>
  ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: app, namespace: 'apps' },
    spec: { minAvailable, selector: { matchLabels: { app } } },
  }) as KubeObject;

async function setContainerd(name: string, version: string): Promise<void> {
  await lab.api.modify('nodes', undefined, name, (node) => {
    const info = { ...node.status?.nodeInfo, containerRuntimeVersion: `containerd://${version}` };
    node.status = { ...node.status, nodeInfo: info as never };
  });
}

/** @param ago milliseconds. */
async function setReadySince(name: string, ago: number): Promise<void> {
  const time = new Date(Date.now() - ago).toISOString().replace(/\.\d+Z$/, 'Z');
  await lab.api.modify('nodes', undefined, name, (node) => {
    const ready = node.status?.conditions?.find((condition) => condition.type === 'Ready');
    if (ready) Object.assign(ready, { lastTransitionTime: time });
  });
}

/** `--settings` with these gates over the lab's own. */
async function settingsWith(gates: object, prometheus: object = {}): Promise<string[]> {
  const base = parse(await readFile(lab.settingsFile, 'utf8'));
  const file = join(lab.dir, `settings-${crypto.randomUUID()}.yaml`);
  const changed = {
    ...base,
    gates: { ...base.gates, ...gates },
    prometheus: { ...base.prometheus, ...prometheus },
  };
  await writeFile(file, stringify(changed));
  return ['--settings', file];
}
