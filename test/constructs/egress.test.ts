import { describe, expect, it } from 'vitest';
import { pipeline } from './synthesis.ts';

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
    'kube-system 169.254.20.10/32: 53/udp,53',
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

  it('let the executor reach DNS on its node, nodes, API server, Prometheus, Pushgateway, the package repository and Slack', () => {
    expect(reached('k8s-version-upgrade')).toEqual(executorReaches);
  });

  it('let the detector reach the agent service, too', () => {
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
      egress: { nodeCidrs: ['10.0.20.0/24'], dnsCidrs: ['10.0.20.53/32'] },
    });
    expect(reached('k8s-version-upgrade', stack)).toEqual([
      'kube-system 10.0.20.53/32: 53/udp,53',
      '10.0.20.0/24: 443,6443,2222',
      '10.1.2.3/32: 9090',
      '*: 8443',
      '*: 443',
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
