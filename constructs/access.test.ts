import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { pipeline, settings } from '../test/constructs/synthesis.ts';

interface Rule {
  readonly api_groups: string[];
  readonly resources: string[];
  readonly verbs: string[];
  readonly resource_names?: string[];
}

/**
 * `nodes: get,list` or `leases.coordination.k8s.io[name]: get`: one line for each rule, so that a new one
 * shows.
 */
function written(rules: readonly Rule[]): string[] {
  return rules.map(({ api_groups: [group], resources, verbs, resource_names: names }) => {
    expect(resources).toHaveLength(1);
    return `${resources[0]}${group ? `.${group}` : ''}${names ? `[${names.join(',')}]` : ''}: ${verbs.join(',')}`;
  });
}

function accessOf(account: string, stack = pipeline()) {
  const named = (type: string) =>
    stack
      .resources(type)
      .filter((body) => (body.metadata as { name: string }).name.startsWith(account))
      .map((body) => [(body.metadata as { namespace?: string }).namespace, written(body.rule as Rule[])]);
  return { cluster: named('kubernetes_cluster_role_v1'), namespaced: named('kubernetes_role_v1') };
}

describe('the executor', () => {
  it('may do what its stages do, and nothing more', () => {
    expect(accessOf('k8s-version-upgrade')).toEqual({
      cluster: [
        [
          undefined,
          [
            'nodes: list,watch,patch',
            'pods: list,watch',
            'pods/eviction: create',
            'daemonsets.apps: get',
            'poddisruptionbudgets.policy: list',
            'namespaces[k8s-upgrade]: get,patch',
          ],
        ],
      ],
      namespaced: [
        ['kube-system', ['configmaps[kubeadm-config,kube-proxy,coredns]: get', 'deployments.apps: get,list']],
        ['default', ['events: create']],
        [
          'k8s-upgrade',
          [
            'leases.coordination.k8s.io[k8s-version-upgrade]: get,update',
            'leases.coordination.k8s.io: create',
            'configmaps[k8s-upgrade-killswitch]: get',
            'cronjobs.batch[k8s-version-upgrade,k8s-node-check]: get',
            'jobs.batch: create,list',
          ],
        ],
      ],
    });
  });
});

describe('pods whose eviction stays refused (F17)', () => {
  const executor = 'k8s-version-upgrade';
  const withRules = (...blockedPods: object[]) =>
    accessOf(executor, pipeline({ settings: { ...settings, drain: { blockedPods } } as typeof settings }));

  it('may be deleted in the namespaces that the settings name, and nowhere else', () => {
    const { cluster, namespaced } = withRules(
      { namespaces: ['dbaas', 'apps'], podSelector: { matchLabels: { app: 'ledger' } } },
      { disruptionBudgets: ['media/player'] },
    );
    expect(JSON.stringify(cluster)).not.toContain('delete');
    expect(namespaced.filter(([, rules]) => JSON.stringify(rules).includes('delete'))).toEqual([
      ['apps', ['pods: delete']],
      ['dbaas', ['pods: delete']],
      ['media', ['pods: delete']],
    ]);
  });

  it('may be deleted in every namespace when a rule selects by labels alone', () => {
    const rule = { podSelector: { matchLabels: { 'example.com/may-be-deleted': 'true' } } };
    const { cluster, namespaced } = withRules({ namespaces: ['dbaas'] }, rule);
    expect(cluster[0]?.[1]).toContain('pods: delete');
    expect(JSON.stringify(namespaced)).not.toContain('delete');
  });
});

describe('the detector', () => {
  it('may read, and create no Job when the agent service does', () => {
    expect(accessOf('k8s-version-check')).toEqual({
      cluster: [[undefined, ['nodes: list', 'namespaces[k8s-upgrade]: get,patch']]],
      namespaced: [
        [
          'k8s-upgrade',
          [
            'leases.coordination.k8s.io[k8s-version-upgrade]: get',
            'configmaps[k8s-upgrade-killswitch]: get',
            'jobs.batch: list',
            'pods: list',
          ],
        ],
      ],
    });
  });

  it('may create Jobs when it dispatches them itself', () => {
    const direct = pipeline({ settings: { ...settings, dispatch: { mode: 'job' } } });
    expect(accessOf('k8s-version-check', direct).namespaced[0]?.[1]).toEqual(
      expect.arrayContaining(['cronjobs.batch[k8s-version-upgrade]: get', 'jobs.batch: create']),
    );
  });
});

it('the agent service may submit a run and follow it, and nothing more', () => {
  expect(accessOf('k8s-upgrade-submit')).toEqual({
    cluster: [[undefined, ['nodes: list', 'namespaces[k8s-upgrade]: get']]],
    namespaced: [
      [
        'k8s-upgrade',
        [
          'leases.coordination.k8s.io[k8s-version-upgrade]: get',
          'configmaps[k8s-upgrade-killswitch,k8s-upgrade-settings]: get',
          'cronjobs.batch[k8s-version-upgrade]: get',
          'jobs.batch: create,get,list',
          'pods: get,list,watch',
          'pods/log: get',
        ],
      ],
    ],
  });
});

describe('host keys', () => {
  it('are written only under accept-new (F27)', () => {
    const accepting = pipeline({ settings: { ...settings, ssh: { hostKeys: { policy: 'accept-new' } } } });
    for (const account of ['k8s-version-upgrade', 'k8s-version-check']) {
      const writes = [
        'configmaps: create',
        'configmaps[k8s-upgrade-killswitch,k8s-upgrade-known-hosts]: get',
        'configmaps[k8s-upgrade-known-hosts]: patch',
      ];
      expect(accessOf(account, accepting).namespaced.flat(2)).toEqual(expect.arrayContaining(writes));
      expect(accessOf(account).namespaced.flat(2)).not.toContain(writes[0]);
    }
  });
});

describe('every role', () => {
  const stack = pipeline({ submitters: [{ namespace: 'claude-agent', name: 'claude-agent' }] });
  const all = [...stack.resources('kubernetes_cluster_role_v1'), ...stack.resources('kubernetes_role_v1')];

  it('names resources and verbs, never `*`', () => {
    expect(all.length).toBe(8);
    expect(JSON.stringify(all.map((role) => role.rule))).not.toContain('*');
  });

  it('has a comment on each rule that names the stage or command that uses it', () => {
    const file = fileURLToPath(new URL('access/rules.ts', import.meta.url));
    const lines = readFileSync(file, 'utf8').split('\n');
    const isRule =
      /^ {4,}(\{( apiGroups: | \.\.\.leaseRead|$)|leaseRead,|executionTemplateRead,|ownNamespace\()/;
    const places = lines.flatMap((line, i) => (isRule.test(line) ? [i] : []));
    expect(places.length).toBeGreaterThan(20);
    const uncommented = places.filter((i) => !/^ *\/\/ \S/.test(lines[i - 1] ?? ''));
    expect(uncommented.map((i) => `${i + 1}: ${lines[i]?.trim()}`)).toEqual([]);
  });

  it('grants no access to Secrets: the kubelet mounts the only one', () => {
    expect(JSON.stringify(all.map((role) => role.rule))).not.toContain('secrets');
  });

  it('is bound to the account of its name, that of the submitter also to the agent service’s account', () => {
    const bindings = [
      ...stack.resources('kubernetes_cluster_role_binding_v1'),
      ...stack.resources('kubernetes_role_binding_v1'),
    ] as unknown as {
      role_ref: { name: string };
      subject: { namespace: string; name: string; kind: string }[];
    }[];
    const bound = bindings.map(
      (b) => `${b.role_ref.name} → ${b.subject.map((s) => `${s.namespace}/${s.name}`).join(' ')}`,
    );
    const submitters = 'k8s-upgrade/k8s-upgrade-submit claude-agent/claude-agent';
    expect(bound.sort()).toEqual(
      [
        `k8s-upgrade-submit → ${submitters}`,
        `k8s-upgrade-submit → ${submitters}`,
        'k8s-version-check → k8s-upgrade/k8s-version-check',
        'k8s-version-check → k8s-upgrade/k8s-version-check',
        'k8s-version-upgrade → k8s-upgrade/k8s-version-upgrade',
        'k8s-version-upgrade → k8s-upgrade/k8s-version-upgrade',
        'k8s-version-upgrade-kube-system → k8s-upgrade/k8s-version-upgrade',
        'k8s-version-upgrade-node-events → k8s-upgrade/k8s-version-upgrade',
      ].sort(),
    );
    expect(bindings.flatMap((b) => b.subject).every((s) => s.kind === 'ServiceAccount')).toBe(true);
  });
});
