import type { KubernetesObject } from '@kubernetes/client-node';
import semver from 'semver';
import { parse } from 'yaml';
import { type KubeadmAddOns, readKubeadmAddOns } from '../../cluster/kubeadm-add-ons.ts';
import type { Findings, Gate, GateContext } from '../gate.ts';
import {
  type Defaults,
  type Difference,
  type Document,
  describeDifferences,
  differences,
} from './differences.ts';
import { checkedBefore, kubeadmHasRun } from './has-run.ts';
import { previewOf } from './preview.ts';

/**
 * kubeadm deploys kube-proxy and CoreDNS in every upgrade, from 1.32 on also where they were left out on
 * purpose, and replaces what is there (F33, kubernetes/kubeadm#3137).
 */
export const kubeadmAddOns: Gate = {
  name: 'kubeadm-addons',
  summary: 'kubeadm installs no kube-proxy or CoreDNS that is not there, and replaces none but its own',
  outcomeWhenClosed: 'blocked',
  async check(ctx) {
    const { nodes, inFlight, client } = ctx;
    if (kubeadmHasRun(nodes, inFlight)) return checkedBefore;
    const left = (await ctx.remaining()).nodes.find((node) => node.controlPlane);
    if (left === undefined)
      return { reasons: [], notAsked: `not checked: the control plane is at ${ctx.target} already` };
    if (isSkipped(ctx, 'addon/kube-proxy') && isSkipped(ctx, 'addon/coredns')) return leavesBothOut;
    const live = await readKubeadmAddOns(client);
    const addOns = addOnsOf(live).filter((addOn) => isDeployed(ctx, addOn));
    if (addOns.length === 0) return leavesBothOut;
    const { addOns: written = [], proxies } = await previewOf(ctx, left);
    const found = addOns.map((addOn) => judge(ctx, addOn, written, proxies));
    return { reasons: found.flatMap((one) => one.reasons), notes: found.flatMap((one) => one.notes ?? []) };
  },
};

const leavesBothOut: Findings = { reasons: [], notAsked: 'not checked: kubeadm is to leave both out' };

interface AddOn {
  /** As in the setting `kubeadm.skipPhases`. */
  readonly phase: 'addon/kube-proxy' | 'addon/coredns';
  /** The field of ClusterConfiguration that leaves it out; undefined before v1beta4, which has none. */
  readonly field: 'proxy' | 'dns' | undefined;
  readonly name: 'kube-proxy' | 'coredns';
  readonly title: string;
  readonly disabled: boolean;
  readonly workload: (KubernetesObject & { spec?: object }) | undefined;
  readonly config: { data?: Record<string, string> } | undefined;
  /** More workloads than kubeadm can handle. */
  readonly others: readonly string[];
}

function addOnsOf(live: KubeadmAddOns): AddOn[] {
  const hasFields = !/v1beta[123]$/.test(live.configurationVersion);
  return [
    {
      phase: 'addon/kube-proxy',
      field: hasFields ? 'proxy' : undefined,
      name: 'kube-proxy',
      title: 'DaemonSet kube-proxy',
      disabled: live.proxyDisabled,
      workload: live.proxy,
      config: live.proxyConfig,
      others: [],
    },
    {
      phase: 'addon/coredns',
      field: hasFields ? 'dns' : undefined,
      name: 'coredns',
      title: 'Deployment coredns',
      disabled: live.dnsDisabled,
      workload: live.dns,
      config: live.dnsConfig,
      others: live.dnsDeployments.length > 1 ? live.dnsDeployments : [],
    },
  ];
}

const isSkipped = ({ settings }: GateContext, phase: AddOn['phase']): boolean =>
  ['addon', 'addon/all', phase].some((one) => settings.kubeadm.skipPhases.includes(one));

/** Whether kubeadm of the target deploys it. Before 1.32 it left out what has no ConfigMap. */
function isDeployed(ctx: GateContext, { phase, disabled, config }: AddOn): boolean {
  if (disabled || isSkipped(ctx, phase)) return false;
  return semver.gte(ctx.target, '1.32.0') || config !== undefined;
}

function judge(
  ctx: GateContext,
  addOn: AddOn,
  written: readonly Document[],
  proxies: readonly string[],
): Findings {
  const { name, title, workload, others } = addOn;
  const accepts = ctx.settings.gates.acceptChanges;
  if (others.length > 0) {
    const several = `the Deployments ${others.join(' and ')} in kube-system have the label k8s-app=kube-dns, and kubeadm fails with more than one`;
    return { reasons: [`${several}; ${remedy(ctx, addOn)}`] };
  }
  const whole = replaced(addOn);
  if (whole !== undefined && !accepts.includes(name))
    return { reasons: [`${whole}; ${remedy(ctx, addOn, [name])}`] };
  const then = written.find(({ metadata, kind }) => `${kind} ${(metadata as Document)?.name}` === title);
  if (whole !== undefined) return { reasons: [], notes: [`${whole}, as accepted in gates.acceptChanges`] };
  const notes = then === undefined ? [`kubeadm does not show how it would change ${name}`] : [];
  const all = then === undefined ? switchedOff(addOn) : changesOf(addOn, workload ?? {}, then, written);
  const found = all.filter((one) => !proxies.some((proxy) => one.name === `kube-proxy env.${proxy}`));
  const closing = found.filter((one) => !accepts.includes(one.name));
  const accepted = found.filter((one) => accepts.includes(one.name));
  const text = (some: readonly Difference[]) => `kubeadm would ${describeDifferences(some)} in the ${title}`;
  const names = closing.map((one) => one.name);
  return {
    reasons: closing.length === 0 ? [] : [`${text(closing)}; ${remedy(ctx, addOn, names)}`],
    notes: [
      ...notes,
      ...(accepted.length === 0 ? [] : [`${text(accepted)}: accepted in gates.acceptChanges`]),
    ],
  };
}

/** Labels and annotations of those who manage an object, and would fight kubeadm for it. */
const managers =
  /managed-by$|^(meta\.)?helm\.sh\/|argocd\.argoproj\.io\/|\.fluxcd\.io\/|^addonmanager\.kubernetes\.io\/|cattle\.io\/|^kapp\.k14s\.io\//;

/** Why kubeadm would put something else in the place of what is there, if it would. */
function replaced({ title, workload }: AddOn): string | undefined {
  if (workload === undefined)
    return `the ${title} is not in kube-system, and kubeadm would install it: was it left out on purpose?`;
  const { labels = {}, annotations = {}, ownerReferences = [] } = workload.metadata ?? {};
  const [mark] = Object.entries({ ...labels, ...annotations }).filter(([key]) => managers.test(key));
  const [owner] = ownerReferences;
  if (mark === undefined && owner === undefined) return undefined;
  const by = mark === undefined ? `${owner?.kind} ${owner?.name}` : mark.join('=');
  return `the ${title} is managed by somebody else (${by}), and kubeadm would replace it`;
}

/** What the API server fills in (apps/v1 and core/v1 defaults.go), and what it and kubectl add. */
const defaults: Defaults = {
  apiVersion: ['v1'],
  defaultMode: [420],
  dnsPolicy: ['ClusterFirst'],
  failureThreshold: [3],
  imagePullPolicy: ['IfNotPresent'],
  // The note of `kubectl rollout restart`, which nobody misses.
  'kubectl.kubernetes.io/restartedAt': 'any',
  maxSurge: [0, '25%'],
  maxUnavailable: [1],
  periodSeconds: [10],
  progressDeadlineSeconds: [600],
  protocol: ['TCP'],
  readOnly: [false],
  restartPolicy: ['Always'],
  revisionHistoryLimit: [10],
  scheme: ['HTTP'],
  schedulerName: ['default-scheduler'],
  serviceAccount: ['kube-proxy', 'coredns'],
  successThreshold: [1],
  terminationGracePeriodSeconds: [30],
  terminationMessagePath: ['/dev/termination-log'],
  terminationMessagePolicy: ['File'],
  timeoutSeconds: [1],
};

function changesOf(
  { name, config }: AddOn,
  workload: { spec?: object },
  then: Document,
  written: readonly Document[],
): Difference[] {
  const ofSpec = differences(name, { spec: workload.spec }, { spec: then.spec }, defaults);
  const configThen = written.find(
    (one) => one.kind === 'ConfigMap' && (one.metadata as Document)?.name === name,
  );
  // A Corefile that somebody has changed is kept or migrated (dns.go); kube-proxy's is replaced.
  const isKept = name === 'coredns' || configThen === undefined || config === undefined;
  const ofConfig = isKept ? [] : differences(name, documentsIn(config), documentsIn(configThen), defaults);
  // kubeadm writes every field of a configuration, also those that are not set.
  const lost = ofConfig.filter(({ effect }) => effect !== 'add');
  // kubeadm keeps the number of replicas, but does not show it.
  return [...ofSpec.filter((one) => one.name !== 'coredns replicas'), ...lost];
}

/** Each value that is YAML as what it holds. */
function documentsIn({ data = {} }: { data?: unknown }): Document {
  const entries = Object.entries(data as Record<string, string>);
  return Object.fromEntries(entries.map(([key, text]) => [key, documentOr(text)]));
}

function documentOr(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return text;
  }
}

/** For a kubeadm that does not show what it writes: whether a selector keeps the add-on off the nodes. */
function switchedOff({ name, workload }: AddOn): Difference[] {
  const template = (workload?.spec as { template?: { spec?: { nodeSelector?: Document } } })?.template;
  const own = { 'kubernetes.io/os': 'linux' };
  return differences(name, { nodeSelector: template?.spec?.nodeSelector }, { nodeSelector: own });
}

function remedy(
  { settings }: GateContext,
  { phase, field, name }: AddOn,
  accept: readonly string[] = [],
): string {
  const phases = [...settings.kubeadm.skipPhases, phase].join(', ');
  const ways = [
    ...(field === undefined
      ? []
      : [
          `write "${field}: {disabled: true}" into ClusterConfiguration in the ConfigMap kubeadm-config in kube-system`,
        ]),
    `set kubeadm.skipPhases: [${phases}]`,
    ...(name === 'coredns'
      ? ['write a patch corednsdeployment.yaml into the directory kubeadm.patches']
      : []),
    ...(accept.length === 0 ? [] : [`accept it with gates.acceptChanges: ${JSON.stringify(accept)}`]),
  ];
  return `to keep it as it is, ${ways.join(', or ')}`;
}
