import { isIP } from 'node:net';
import {
  type NetworkPolicyV1SpecEgress as EgressRule,
  NetworkPolicyV1,
} from '@cdktf/provider-kubernetes/lib/network-policy-v1/index.js';
import { Construct } from 'constructs';
import { z } from 'zod';
import { objectNames } from '../runtime/src/names.ts';
import { parseSettings, type SettingsInput } from '../runtime/src/settings/settings.ts';
import { checked, notAllowed, placeholderSettings, port } from './checked.ts';
import { labelsOf } from './labels.ts';

/** Addresses and ports that the network policies allow. */
export interface EgressProps {
  /** The runtime's settings as written; they name every service that the programs connect to. */
  readonly settings: SettingsInput;
  /** Networks of the nodes and of the API server. @default - the private networks of RFC 1918 */
  readonly nodeCidrs?: readonly string[];
  /**
   * Ports on which API servers listen, behind their service: `localAPIEndpoint.bindPort`.
   * @default - 443 and 6443
   */
  readonly apiServerPorts?: readonly number[];
  /**
   * Networks of the DNS resolvers outside the pods of kube-system, such as a resolver on the node's own
   * network.
   * @default - those of NodeLocal DNSCache: its usual address, and that of kube-dns in kubeadm's service
   * network
   */
  readonly dnsCidrs?: readonly string[];
  /**
   * Ports on which the pods of the in-cluster services listen: a policy applies to these, not to the ports of
   * the services.
   * @default - the usual port, and the port in the URL, as many services use the port of their pods
   */
  readonly podPorts?: {
    /** @default 9090 */
    readonly prometheus?: number;
    /** @default 9091 */
    readonly pushgateway?: number;
    /** @default 8080 */
    readonly agentService?: number;
  };
}

const privateNetworks = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'];
/**
 * The first is link-local: in a cluster without the cache nothing answers there. With kube-proxy in iptables
 * mode the cache listens at the address of kube-dns, and a policy sees that address
 * (kubernetes/kubernetes#70555).
 */
const nodeLocalDns = ['169.254.20.10/32', '10.96.0.10/32'];
const usualPodPorts = { prometheus: 9090, pushgateway: 9091, agentService: 8080 };

/**
 * Network policies that allow no ingress, and egress only to what each program connects to.
 *
 * They match nodes and the API server by address. A network plugin that matches those by identity, as Cilium
 * does by default, would cut the programs off from them: leave these policies out and write the plugin's own.
 */
export class Egress extends Construct {
  constructor(scope: Construct, id: string, props: EgressProps) {
    super(scope, id);
    const settings = checked(
      this,
      () => parseSettings('settings', props.settings),
      parseSettings('settings', placeholderSettings),
    );
    const { namespace } = settings;
    const nodeCidrs = checked(this, () => cidrs('nodeCidrs', props.nodeCidrs ?? privateNetworks), []);
    const dnsCidrs = checked(this, () => cidrs('dnsCidrs', props.dnsCidrs ?? nodeLocalDns), []);
    const apiServerPorts = (props.apiServerPorts ?? [443, 6443]).map((given) =>
      checked(this, () => port('apiServerPorts', given), 443),
    );
    const to = (url: string, service: keyof typeof usualPodPorts): EgressRule => {
      const given = props.podPorts?.[service];
      const podPort =
        given === undefined ? undefined : checked(this, () => port(`podPorts.${service}`, given), 1);
      return podPort === undefined
        ? toPlace(url, [usualPodPorts[service], ...writtenPort(url)])
        : toPlace(url, [podPort]);
    };

    const nodeCheck = [toDns(dnsCidrs), toNetworks(nodeCidrs, apiServerPorts)];
    const everyProgram = [
      toDns(dnsCidrs),
      toNetworks(nodeCidrs, [...apiServerPorts, settings.ssh.port]),
      to(settings.pushgateway.url, 'pushgateway'),
      toPlace(settings.packages.repository, [portOf(settings.packages.repository)]),
      // Slack has no fixed addresses, so 443 is open to everywhere while Slack is enabled.
      ...(settings.slack.enabled ? [toAnywhere(443)] : []),
    ];
    // Only a run reads alerts.
    const executorOnly = [to(settings.prometheus.url, 'prometheus')];
    const detectorOnly =
      settings.dispatch.mode === 'agent-service'
        ? [to(settings.dispatch.agentService.url, 'agentService')]
        : [];

    this.policy(namespace, 'deny-by-default', {}, []);
    this.policy(namespace, objectNames.executionCronJob, { app: objectNames.executionCronJob }, [
      ...everyProgram,
      ...executorOnly,
    ]);
    this.policy(namespace, objectNames.detectionCronJob, { app: objectNames.detectionCronJob }, [
      ...everyProgram,
      ...detectorOnly,
    ]);
    this.policy(namespace, objectNames.nodeCheckCronJob, { app: objectNames.nodeCheckCronJob }, nodeCheck);
  }

  private policy(
    namespace: string,
    name: string,
    matchLabels: Record<string, string>,
    egress: EgressRule[],
  ): void {
    new NetworkPolicyV1(this, name, {
      metadata: { name, namespace, labels: labelsOf('network') },
      spec: {
        podSelector: Object.keys(matchLabels).length > 0 ? { matchLabels } : {},
        policyTypes: ['Ingress', 'Egress'],
        // Two settings may name the same destination.
        egress: [...new Map(egress.map((rule) => [JSON.stringify(rule), rule])).values()],
      },
    });
  }
}

function cidrs(prop: string, given: readonly string[]): string[] {
  for (const cidr of given) {
    if (!network.safeParse(cidr).success) throw notAllowed(prop, cidr, 'networks such as 10.0.20.0/24');
  }
  return [...given];
}

const network = z.union([z.cidrv4(), z.cidrv6()]);

const tcp = (numbers: number[]) =>
  [...new Set(numbers)].map((port) => ({ port: String(port), protocol: 'TCP' }));

const inNamespace = (name: string) => ({
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } },
});

const inNetwork = (cidr: string) => ({ ipBlock: { cidr } });

const toDns = (networks: readonly string[]): EgressRule => ({
  to: [inNamespace('kube-system'), ...networks.map(inNetwork)],
  ports: [{ port: '53', protocol: 'UDP' }, ...tcp([53])],
});

const toNetworks = (networks: readonly string[], ports: number[]): EgressRule => ({
  to: networks.map(inNetwork),
  ports: tcp(ports),
});

const toAnywhere = (port: number): EgressRule => ({ ports: tcp([port]) });

/** To a service of the cluster at its pods' `podPorts`; to any other host at the port of the URL. */
function toPlace(url: string, podPorts: number[]): EgressRule {
  const parsed = new URL(url);
  const host = parsed.hostname.replace(/^\[|\]$/g, '');
  const family = isIP(host);
  if (family !== 0) return toNetworks([`${host}/${family === 6 ? 128 : 32}`], [portOf(url)]);
  const namespace = namespaceOf(parsed);
  if (namespace === undefined) return toAnywhere(portOf(url));
  return { to: [inNamespace(namespace)], ports: tcp(podPorts) };
}

/** The port in the text of a URL; empty when the URL relies on its scheme's default. */
function writtenPort(url: string): number[] {
  const { port } = new URL(url);
  return port === '' ? [] : [Number(port)];
}

function portOf(url: string): number {
  return writtenPort(url)[0] ?? (new URL(url).protocol === 'https:' ? 443 : 80);
}

/**
 * `monitoring` for `prometheus.monitoring.svc` and its longer and shorter forms; undefined for a host
 * outside. The shortest form, `prometheus.monitoring`, looks like a public domain: it counts as a service
 * when the URL has no TLS.
 */
function namespaceOf({ hostname, protocol }: URL): string | undefined {
  const [, namespace, svc] = hostname.split('.');
  if (svc === 'svc') return namespace;
  return svc === undefined && protocol === 'http:' ? namespace : undefined;
}
