import { credentialKeys, mountPaths } from '../../runtime/src/names.ts';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import type { Machine } from './machine.ts';
import type { AgentService } from './services/agent-service.ts';
import type { PackageRepository } from './services/packages.ts';
import type { Prometheus } from './services/prometheus.ts';
import type { Pushgateway } from './services/pushgateway.ts';

interface Surroundings {
  readonly services: {
    readonly packages: PackageRepository;
    readonly prometheus: Prometheus;
    readonly pushgateway: Pushgateway;
    readonly agentService: AgentService;
  };
  readonly nodes: ReadonlyMap<string, Machine>;
  readonly soak: string;
  readonly change?: (base: SettingsInput) => SettingsInput;
}

const mounted = (key: string): string => `${mountPaths.credentials}/${key}`;

/**
 * The settings of `main.ts`'s cluster, with the lab's addresses, the default `drain.before`, and short waits:
 * a second instead of ten minutes. Time is compressed only here.
 */
export function labSettings({ services, nodes, soak, change = (base) => base }: Surroundings): SettingsInput {
  const [first] = nodes.values();
  const workers = ['k8s-node4', 'k8s-node3', 'k8s-node2', 'k8s-node1'].filter((name) => nodes.has(name));
  return change({
    nodes: { controlPlane: ['k8s-master'].filter((name) => nodes.has(name)), workers },
    // The default paths, written out: the lab's kubelet has no mount namespace and replaces them with its
    // own.
    slack: { webhookFile: mounted(credentialKeys.slackWebhook) },
    ssh: {
      privateKeyFile: mounted(credentialKeys.sshKey),
      user: 'wizard',
      port: first?.port ?? 22,
      hostKeys: {
        policy: 'pinned',
        known: Object.fromEntries([...nodes].map(([name, n]) => [name, n.hostKey])),
      },
      connectTimeout: '3s',
      reconnectTimeout: '20s',
    },
    packages: { repository: services.packages.base },
    prometheus: { url: services.prometheus.url },
    pushgateway: { url: services.pushgateway.url },
    dispatch: {
      mode: 'agent-service',
      agentService: { url: services.agentService.url, tokenFile: mounted(credentialKeys.agentToken) },
    },
    gates: { alertWait: '2s', alertInterval: '200ms' },
    drain: { timeout: '10s', evictionRetry: '300ms' },
    timing: {
      soak,
      controlPlaneSoak: soak,
      nodeReady: '20s',
      staticPods: '300ms',
      script: '60s',
      lease: '3s',
      apiOutage: '30s',
      apiRequest: '5s',
      unschedulable: '3s',
    },
  });
}
