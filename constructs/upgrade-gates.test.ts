import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { pipeline, settings } from '../test/constructs/synthesis.ts';

type Tree = { readonly [key: string]: unknown };
const isMap = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Merges values as Helm does: maps are merged, everything else, lists included, is replaced. */
function helmMerge(base: Tree, over: Tree): Tree {
  const merged = Object.entries(over).map(([key, value]) => {
    const below = base[key];
    return [key, isMap(below) && isMap(value) ? helmMerge(below, value) : value];
  });
  return { ...base, ...Object.fromEntries(merged) };
}

describe('the rules', () => {
  const runbook = 'https://runbook.example/k8s-version-upgrade.md';
  const names = ['Upgrade Gates', 'Upgrade Pipeline'];
  const groupNames = (groups: readonly { name: string }[]) => groups.map((group) => group.name);
  type Values = { serverFiles: Record<string, { groups: { name: string }[] }> };
  const ours = (values: Values) => groupNames(values.serverFiles.alerts?.groups ?? []);

  it('are a PrometheusRule for the operator', () => {
    const rule = pipeline({
      alerts: { runbook, target: { kind: 'prometheus-rule', labels: { release: 'prometheus' } } },
    }).manifest<{ spec: { groups: { name: string }[] }; metadata: { labels: Record<string, string> } }>(
      'PrometheusRule',
    );
    expect(groupNames(rule.spec.groups)).toEqual(names);
    expect(rule.metadata.labels.release).toBe('prometheus');
  });

  it('are values of a release of the chart, after its other values', () => {
    const stack = pipeline({
      alerts: {
        runbook,
        target: {
          kind: 'helm-release',
          release: { version: '27.5.1', values: ['alertmanager:\n  enabled: true\n'] },
        },
      },
    });
    const release = stack.named('helm_release', 'prometheus');
    expect(release).toMatchObject({ chart: 'prometheus', version: '27.5.1', namespace: 'monitoring' });
    const [own, rules] = release.values as string[];
    expect(own).toContain('alertmanager');
    expect(ours(parse(rules ?? '') as Values)).toEqual(names);
  });

  it('are values of a release with another name, in another namespace', () => {
    const stack = pipeline({
      alerts: {
        runbook,
        target: {
          kind: 'helm-release',
          release: { version: '27.5.1', name: 'metrics', namespace: 'observability' },
        },
      },
    });
    expect(stack.resources('helm_release')).toHaveLength(1);
    const release = stack.named('helm_release', 'metrics');
    expect(release).toMatchObject({ chart: 'prometheus', namespace: 'observability' });
    expect(ours(parse((release.values as string[]).at(-1) ?? '') as Values)).toEqual(names);
  });

  it('watch the Deployments and StatefulSets of the cluster, each by the series of its kind', () => {
    const workload = { namespace: 'ingress', name: 'traefik' };
    const exprOf = (kind: 'Deployment' | 'StatefulSet') =>
      pipeline({
        alerts: { runbook, workloads: [{ alert: 'TraefikDown', kind, ...workload }] },
      })
        .manifest<{ spec: { groups: { rules: { alert: string; expr: string }[] }[] } }>('PrometheusRule')
        .spec.groups[0]?.rules.find((rule) => rule.alert === 'TraefikDown')?.expr;
    const deployment = 'kube_deployment_status_replicas_ready{namespace="ingress",deployment="traefik"}';
    const statefulSet = 'kube_statefulset_status_replicas_ready{namespace="ingress",statefulset="traefik"}';
    expect(exprOf('Deployment')).toBe(`(${deployment} < 1) or absent(${deployment})`);
    expect(exprOf('StatefulSet')).toBe(`(${statefulSet} < 1) or absent(${statefulSet})`);
  });

  it('are an output for a release that another stack owns', () => {
    const stack = pipeline({ alerts: { runbook, target: { kind: 'helm-values' } } });
    const values = parse(stack.output('upgrade_gates_values') as string) as Values;
    expect(ours(values)).toEqual(names);
    expect(stack.types).not.toContain('helm_release');
  });

  it('replace no group that the release already has', () => {
    const stack = pipeline({ alerts: { runbook, target: { kind: 'helm-values' } } });
    const values = parse(stack.output('upgrade_gates_values') as string) as Values;
    const theirs = { groups: [{ name: 'Storage' }, { name: 'Upgrade Gates' }] };
    const release = { serverFiles: { 'alerting_rules.yml': theirs, alerts: {} }, server: { replicas: 2 } };
    const merged = helmMerge(release, values) as unknown as Values;
    expect(merged.serverFiles['alerting_rules.yml']).toEqual(theirs);
    expect(ours(merged)).toEqual(names);
  });

  it('wait for the longest phase in the settings before a run counts as stalled', () => {
    const slow = pipeline({ settings: { ...settings, timing: { script: '2h' } } });
    // Before the script that fetches packages and images, a pod is tried on the node.
    expect(slow.text).toContain(`> ${90 + 600 + 2 * 3600 + 900} and on ()`);
    // The static pods and then the gates are waited for before a drain that comes after kubeadm. Gates that
    // only need time are waited for twice as long, there and after the time of a soak.
    const waiting = { gates: { alertWait: '1h' }, timing: { nodeReady: '1h', staticPods: '60s' } };
    const stalled = (before: 'kubelet' | 'kubeadm') =>
      pipeline({ settings: { ...settings, ...waiting, drain: { before } } }).text;
    expect(stalled('kubelet')).toContain(`> ${3660 + 7200 + 900} and on ()`);
    expect(stalled('kubeadm')).toContain(`> ${600 + 7200 + 900} and on ()`);
  });

  it.each([
    ['every Sunday', undefined, 8],
    ['on the first of a month', '0 12 1 * *', 32],
    ['in summer only', '0 12 * jun-aug 0', 281],
    ['many times a day, on Mondays', '*/15 * * * mon', 7],
  ])('report a late detection a day after the longest gap of its schedule: %s', (_, schedule, days) => {
    const late = /kube_cronjob_created{[^}]*}\) > (\d+)/.exec(
      pipeline(schedule === undefined ? undefined : { schedule }).text.replaceAll('\\"', '"'),
    );
    expect(Math.floor(Number(late?.[1]) / 86_400)).toBe(days);
  });

  it('do not watch a detector that is disabled', () => {
    expect(pipeline().text).toContain('K8sVersionCheckStale');
    expect(pipeline({ enabled: false }).text).not.toContain('K8sVersionCheckStale');
  });
});
