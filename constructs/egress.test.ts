import { describe, expect, it } from 'vitest';
import { pipeline, settings } from '../test/constructs/synthesis.ts';

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
  /** `monitoring: 9090`, `*: 443`, `10.0.0.0/8 …: 22` */
  const reached = (name: string, stack = pipeline()): string[] => {
    const { egress = [] } = stack.named('kubernetes_network_policy_v1', name).spec as PolicySpec;
    return egress.map(({ to, ports }) => {
      const where = to?.map(
        (t) => t.ip_block?.cidr ?? t.namespace_selector?.match_labels['kubernetes.io/metadata.name'],
      );
      return `${where?.join(' ') ?? '*'}: ${ports.map((p) => p.port + (p.protocol === 'UDP' ? '/udp' : '')).join(',')}`;
    });
  };
  const everyProgramReaches = [
    'kube-system 169.254.20.10/32 10.96.0.10/32: 53/udp,53',
    '10.0.0.0/8 172.16.0.0/12 192.168.0.0/16: 443,6443,22',
    'monitoring: 9091',
    '*: 443',
  ];

  it('let a node check reach DNS and the API server, and nothing else (F34)', () => {
    expect(reached('k8s-node-check')).toEqual([
      'kube-system 169.254.20.10/32 10.96.0.10/32: 53/udp,53',
      '10.0.0.0/8 172.16.0.0/12 192.168.0.0/16: 443,6443',
    ]);
  });

  it('deny all ingress and egress by default', () => {
    const { spec } = pipeline().named('kubernetes_network_policy_v1', 'deny-by-default') as {
      spec: PolicySpec;
    };
    expect(spec.pod_selector).toEqual({});
    expect(spec.policy_types).toEqual(['Ingress', 'Egress']);
    expect(spec.egress ?? []).toEqual([]);
  });

  it('let the executor reach DNS, nodes, API server, Prometheus, Pushgateway, package repository and Slack', () => {
    expect(reached('k8s-version-upgrade')).toEqual([...everyProgramReaches, 'monitoring: 9090']);
  });

  it('let the detector reach the agent service, and not Prometheus, which it never queries', () => {
    expect(reached('k8s-version-check')).toEqual([...everyProgramReaches, 'claude-agent: 8080']);
  });

  it('use the given ports of pods instead of the ports of their services', () => {
    const urls = {
      prometheus: { url: 'http://prometheus.monitoring.svc:81' },
      pushgateway: { url: 'http://pushgateway.monitoring.svc:82' },
      dispatch: { agentService: { url: 'http://agent.claude-agent.svc:83' } },
    };
    const podPorts = { prometheus: 10_902, pushgateway: 19_091, agentService: 8000 };
    const stack = pipeline({ settings: urls, egress: { podPorts } });
    expect(reached('k8s-version-upgrade', stack)).toEqual([
      ...everyProgramReaches.slice(0, 2),
      'monitoring: 19091',
      '*: 443',
      'monitoring: 10902',
    ]);
    expect(reached('k8s-version-check', stack).at(-1)).toBe('claude-agent: 8000');
    // With one port given, the others are the usual ports and those of their services.
    const one = pipeline({ settings: urls, egress: { podPorts: { prometheus: 10_902 } } });
    expect(reached('k8s-version-upgrade', one)).toContain('monitoring: 9091,82');
    expect(reached('k8s-version-check', one).at(-1)).toBe('claude-agent: 8080,83');
  });

  it('use the port in the URL for a host outside the cluster, whatever the ports of pods', () => {
    const stack = pipeline({
      settings: {
        prometheus: { url: 'https://prometheus.example.com' },
        pushgateway: { url: 'http://10.1.2.3:9099' },
        packages: { repository: 'http://mirror.example.com:8081/' },
        slack: { enabled: false },
      },
      egress: { podPorts: { prometheus: 10_902, pushgateway: 19_091 } },
    });
    expect(reached('k8s-version-upgrade', stack).slice(2)).toEqual([
      '10.1.2.3/32: 9099',
      '*: 8081',
      '*: 443',
    ]);
  });

  it('reach a package mirror inside the cluster by the port in its URL', () => {
    const packages = { repository: 'http://mirror.packages.svc:8081/' };
    const stack = pipeline({ settings: { ...settings, packages } });
    expect(reached('k8s-version-check', stack)).toContain('packages: 8081');
  });

  it('follow the settings', () => {
    const stack = pipeline({
      settings: {
        prometheus: { url: 'http://10.1.2.3:9090' },
        pushgateway: { url: 'https://push.example.com:8443' },
        slack: { enabled: false },
        ssh: { port: 2222 },
      },
      egress: { nodeCidrs: ['10.0.20.0/24'], dnsCidrs: ['10.0.20.53/32'], apiServerPorts: [8443] },
    });
    expect(reached('k8s-version-upgrade', stack)).toEqual([
      'kube-system 10.0.20.53/32: 53/udp,53',
      '10.0.20.0/24: 8443,2222',
      '*: 8443',
      '*: 443',
      '10.1.2.3/32: 9090',
    ]);
  });

  it('select the pods of their program', () => {
    for (const name of ['k8s-version-upgrade', 'k8s-version-check']) {
      const { spec } = pipeline().named('kubernetes_network_policy_v1', name) as { spec: PolicySpec };
      expect(spec.pod_selector.match_labels).toEqual({ app: name });
    }
  });

  it('can be left out', () => {
    expect(pipeline({ egress: false }).types).not.toContain('kubernetes_network_policy_v1');
  });
});
