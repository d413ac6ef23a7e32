import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import {
  Credentials,
  DetectionCronJob,
  ExecutionCronJob,
  ProgramAccess,
  SettingsFile,
  submitterRules,
  UpgradeGates,
  UpgradeNamespace,
} from '../../constructs/index.ts';
import { leastProps, pipeline, settings, synthesized } from './synthesis.ts';

interface ExternalSecret {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly refreshInterval: string;
    readonly secretStoreRef: unknown;
    readonly data: readonly { readonly secretKey: string; readonly remoteRef: unknown }[];
  };
}

describe('the credentials', () => {
  it('come from Vault every 15 minutes, each from its own path', () => {
    const secret = pipeline().manifest<ExternalSecret>('ExternalSecret');
    expect(secret.metadata).toMatchObject({ name: 'k8s-upgrade-creds', namespace: 'k8s-upgrade' });
    expect(secret.spec).toMatchObject({
      refreshInterval: '15m0s',
      secretStoreRef: { kind: 'ClusterSecretStore', name: 'vault-kv' },
    });
    const own = (property: string) => ({
      secretKey: property,
      remoteRef: { key: 'k8s-upgrade', property },
    });
    expect(secret.spec.data).toEqual([
      own('ssh_key'),
      own('ssh_key_pub'),
      own('slack_webhook'),
      {
        secretKey: 'api_bearer_token',
        remoteRef: { key: 'claude-agent-service', property: 'api_bearer_token' },
      },
    ]);
  });

  it('may be read and nothing else', () => {
    expect(pipeline().named('vault_policy', 'k8s-upgrade-read').policy).toBe(
      [
        'path "secret/data/k8s-upgrade" {\n  capabilities = ["read"]\n}\n',
        'path "secret/data/claude-agent-service" {\n  capabilities = ["read"]\n}\n',
      ].join('\n'),
    );
  });

  it('are three without the agent service', () => {
    const direct = pipeline({ settings: { ...settings, dispatch: { mode: 'job' } } });
    expect(direct.manifest<ExternalSecret>('ExternalSecret').spec.data).toHaveLength(3);
    expect(direct.text).not.toContain('claude-agent-service/');
    expect(direct.named('vault_policy', 'k8s-upgrade-read').policy).not.toContain('claude-agent-service');
  });

  it('never pass through Terraform: it has no resource and no data source with a value', () => {
    const { text, types } = pipeline();
    expect(types.filter((type) => /secret|vault/.test(type))).toEqual(['vault_policy']);
    expect(JSON.parse(text).data).toBeUndefined();
  });

  it('may be made by something else', () => {
    expect(pipeline({ credentials: false }).types).not.toContain('vault_policy');
  });

  it('may be elsewhere', () => {
    const other = pipeline({
      credentials: {
        vaultPath: 'kv/infra/upgrade',
        secretStore: 'vault',
        apiVersion: 'external-secrets.io/v1beta1',
      },
    });
    const secret = other.manifest<ExternalSecret & { apiVersion: string }>('ExternalSecret');
    expect(secret.apiVersion).toBe('external-secrets.io/v1beta1');
    expect(secret.spec.data[0]?.remoteRef).toEqual({ key: 'infra/upgrade', property: 'ssh_key' });
    expect(other.named('vault_policy', 'k8s-upgrade-read').policy).toContain('"kv/data/infra/upgrade"');
  });
});

interface PolicySpec {
  readonly pod_selector: { readonly match_labels?: Record<string, string> };
  readonly policy_types: string[];
  readonly egress?: {
    readonly to?: {
      readonly ip_block?: { readonly cidr: string };
      readonly namespace_selector?: { readonly match_labels: Record<string, string> };
    }[];
    readonly ports: { readonly port: string; readonly protocol: string }[];
  }[];
}

describe('the network policies', () => {
  /** `monitoring: 9090,80`, `*: 443`, `10.0.0.0/8 …: 22` */
  const reached = (name: string, stack = pipeline()): string[] => {
    const { egress = [] } = stack.named('kubernetes_network_policy_v1', name).spec as PolicySpec;
    return egress.map(({ to, ports }) => {
      const where = to?.map(
        (t) => t.ip_block?.cidr ?? t.namespace_selector?.match_labels['kubernetes.io/metadata.name'],
      );
      return `${where?.join(' ') ?? '*'}: ${ports.map((p) => p.port + (p.protocol === 'UDP' ? '/udp' : '')).join(',')}`;
    });
  };
  const executorReaches = [
    'kube-system: 53/udp,53',
    '10.0.0.0/8 172.16.0.0/12 192.168.0.0/16: 443,6443,22',
    'monitoring: 9090,80',
    'monitoring: 9091',
    '*: 443',
  ];

  it('let nothing in and nothing out by default', () => {
    const { spec } = pipeline().named('kubernetes_network_policy_v1', 'deny-by-default') as {
      spec: PolicySpec;
    };
    expect(spec.pod_selector).toEqual({});
    expect(spec.policy_types).toEqual(['Ingress', 'Egress']);
    expect(spec.egress ?? []).toEqual([]);
  });

  it('let the executor reach nodes, API server, Prometheus, Pushgateway and Slack', () => {
    expect(reached('k8s-version-upgrade')).toEqual(executorReaches);
  });

  it('let the detector reach the package repository and the agent service, too', () => {
    expect(reached('k8s-version-check')).toEqual([...executorReaches, 'claude-agent: 8080']);
  });

  it('follow the settings', () => {
    const stack = pipeline({
      settings: {
        prometheus: { url: 'http://10.1.2.3:9090' },
        pushgateway: { url: 'https://push.example.com:8443' },
        slack: { enabled: false },
        ssh: { port: 2222 },
      },
      egress: { nodeCidrs: ['10.0.20.0/24'] },
    });
    expect(reached('k8s-version-upgrade', stack)).toEqual([
      'kube-system: 53/udp,53',
      '10.0.20.0/24: 443,6443,2222',
      '10.1.2.3/32: 9090',
      '*: 8443',
    ]);
  });

  it('select the pods of their program', () => {
    for (const name of ['k8s-version-upgrade', 'k8s-version-check']) {
      const { spec } = pipeline().named('kubernetes_network_policy_v1', name) as { spec: PolicySpec };
      expect(spec.pod_selector.match_labels).toEqual({ app: name });
    }
  });

  it('may be left out', () => {
    expect(pipeline({ egress: false }).types).not.toContain('kubernetes_network_policy_v1');
  });
});

describe('the rules', () => {
  const runbook = 'https://runbook.example/k8s-version-upgrade.md';
  const names = ['Upgrade Gates', 'Upgrade Pipeline'];
  const groupNames = (groups: readonly { name: string }[]) => groups.map((group) => group.name);
  type Values = { serverFiles: { 'alerting_rules.yml': { groups: { name: string }[] } } };

  it('are a PrometheusRule for the operator', () => {
    const rule = pipeline({
      alerts: { runbook, target: { kind: 'prometheus-rule', labels: { release: 'prometheus' } } },
    }).manifest<{ spec: { groups: { name: string }[] }; metadata: { labels: Record<string, string> } }>(
      'PrometheusRule',
    );
    expect(groupNames(rule.spec.groups)).toEqual(names);
    expect(rule.metadata.labels.release).toBe('prometheus');
  });

  it('are values of a release of the chart, over its own', () => {
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
    expect(groupNames((parse(rules ?? '') as Values).serverFiles['alerting_rules.yml'].groups)).toEqual(
      names,
    );
  });

  it('are an output for a release that another stack owns', () => {
    const stack = pipeline({ alerts: { runbook, target: { kind: 'helm-values' } } });
    const values = parse(stack.output('upgrade_gates_values') as string) as Values;
    expect(groupNames(values.serverFiles['alerting_rules.yml'].groups)).toEqual(names);
    expect(stack.types).not.toContain('helm_release');
  });

  it('allow for the longest phase that the settings allow', () => {
    const slow = pipeline({ settings: { ...settings, timing: { script: '2h' } } });
    expect(slow.text).toContain(`> ${2 * 3600 + 900} and on ()`);
  });

  it('watch no detector that was switched off', () => {
    expect(pipeline().text).toContain('K8sVersionCheckStale');
    expect(pipeline({ enabled: false }).text).not.toContain('K8sVersionCheckStale');
  });
});

it('each part can be used alone', () => {
  const { image } = leastProps;
  const namespace = 'elsewhere';
  const scope = { namespace, hostKeys: 'pinned', dispatch: 'job' } as const;
  const stack = synthesized((scopeStack) => {
    new UpgradeNamespace(scopeStack, 'namespace', { name: namespace });
    new SettingsFile(scopeStack, 'settings', { namespace, settings });
    new ProgramAccess(scopeStack, 'access', {
      ...{ namespace, name: 'submit', component: 'submitter', rules: submitterRules(scope) },
    });
    new Credentials(scopeStack, 'credentials', { namespace, agentTokenPath: false });
    new DetectionCronJob(scopeStack, 'detection', { namespace, image, usesAgentService: false });
    new ExecutionCronJob(scopeStack, 'execution', { namespace, image, priorityClassName: 'high' });
    new UpgradeGates(scopeStack, 'gates', {
      namespace,
      runbook: 'https://runbook.example',
      target: { kind: 'prometheus-rule' },
      workloads: [],
      stalledAfterSeconds: 3600,
      minimumPodReadyRatio: 0.9,
      detection: true,
    });
  });
  expect(stack.types).toEqual([
    'kubernetes_cluster_role_binding_v1',
    'kubernetes_cluster_role_v1',
    'kubernetes_config_map_v1',
    'kubernetes_cron_job_v1',
    'kubernetes_manifest',
    'kubernetes_namespace_v1',
    'kubernetes_role_binding_v1',
    'kubernetes_role_v1',
    'kubernetes_service_account_v1',
    'vault_policy',
  ]);
});
