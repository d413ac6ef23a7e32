import type { ClusterNode } from '../../cluster/nodes.ts';
import { isInProgressOf } from '../../rollout/node-annotations.ts';
import type { Gate, GateContext } from '../gate.ts';
import { type Defaults, type Difference, describeDifferences, differences } from './differences.ts';
import { checkedBefore, kubeadmHasRun } from './has-run.ts';
import { previewOf } from './preview.ts';

/**
 * kubeadm writes each manifest from the ConfigMap kubeadm-config, and each kubelet's configuration from
 * kubelet-config; what somebody has changed on a node is lost (F22, F35). Asked before the first node
 * changes: later the ConfigMaps are those of the new release.
 */
export const kubeadmChanges: Gate = {
  name: 'kubeadm-changes',
  summary: 'kubeadm changes nothing on any node but images and versions, or what gates.acceptChanges names',
  outcomeWhenClosed: 'blocked',
  async check(ctx) {
    const { nodes, inFlight, settings } = ctx;
    if (kubeadmHasRun(nodes, inFlight)) return checkedBefore;
    const pending = (await ctx.remaining()).nodes.filter((node) => !isInProgressOf(node, inFlight));
    if (pending.length === 0)
      return { reasons: [], notAsked: `not checked: every node is at ${ctx.target} already` };
    const found = (await Promise.all(pending.map((node) => changesOn(ctx, node)))).flat();
    const unknown = (await Promise.all(pending.map((node) => unknownOn(ctx, node)))).flat();
    const accepted = (change: Change) => settings.gates.acceptChanges.includes(change.name);
    const reasons = described(found.filter((change) => !accepted(change))).map(
      ([text, file, names]) => `${text}; ${remedy(file, names)}`,
    );
    const notes = described(found.filter(accepted)).map(
      ([text]) => `${text}: accepted in gates.acceptChanges`,
    );
    return settings.gates.acceptChanges.includes('etcd')
      ? { reasons, notes: [...notes, ...unknown.map((text) => `${text}: accepted in gates.acceptChanges`)] }
      : { reasons: [...reasons, ...unknown.map((text) => `${text}; ${acceptEtcd}`)], notes };
  },
};

const acceptEtcd =
  'compare /etc/kubernetes/manifests/etcd.yaml with what kubeadm writes, and accept it with gates.acceptChanges: ["etcd"]';

async function unknownOn(ctx: GateContext, node: ClusterNode): Promise<string[]> {
  if (!writes(ctx, 'control-plane')) return [];
  const { unknownEtcd } = await previewOf(ctx, node);
  if (unknownEtcd === undefined) return [];
  return [`what kubeadm would change in etcd on ${node.name} cannot be found out: ${unknownEtcd}`];
}

interface Change extends Difference {
  readonly node: string;
  /** Path of the file on the node. */
  readonly file: string;
}

const kubeletConfig = '/var/lib/kubelet/config.yaml';

/** What kubeadm writes for one node alone, or cannot know in a dry run. */
const ignored = [
  // It has been decided by the time a member has data, and kubeadm names the members again (etcd/local.go).
  'etcd --initial-cluster',
  'etcd --initial-cluster-state',
  // A dry run shows the default in place of the socket that the node has (postupgrade.go).
  'kubelet containerRuntimeEndpoint',
];

/** Directories with CA certificates, which kubeadm mounts where the node has them (volumes.go). */
const ofCertificates =
  /^kube-\S+ (containers\.\S+\.)?(volumes|volumeMounts)\.\/?(etc|usr)[-/](pki|ca-certificates|local[-/]share|share)/;

/** Zeros of every kubelet's configuration, of which older releases of kubeadm wrote none. */
const kubeletDefaults: Defaults = { infoBufferSize: ['0', 0], flushFrequency: [0], verbosity: [0] };

/** Phases that the settings leave out leave their files alone. */
const writes = ({ settings }: GateContext, phase: string): boolean =>
  !settings.kubeadm.skipPhases.includes(phase);

async function changesOn(ctx: GateContext, node: ClusterNode): Promise<Change[]> {
  const { files } = await previewOf(ctx, node);
  return [...files].flatMap(([file, { present, written }]) => {
    const isKubelet = file === kubeletConfig;
    if (!writes(ctx, isKubelet ? 'kubelet-config' : 'control-plane')) return [];
    const component = isKubelet ? 'kubelet' : (/([^/]+)\.yaml$/.exec(file)?.[1] ?? file);
    const all = differences(component, present, written, isKubelet ? kubeletDefaults : {});
    const counts = ({ name, effect }: Difference) =>
      !ignored.includes(name) && !(effect === 'add' && ofCertificates.test(name));
    const found = all.filter(counts);
    return found.map((one) => ({ ...one, node: node.name, file }));
  });
}

/** One text for all nodes on which the same file changes in the same way. */
function described(changes: readonly Change[]): [text: string, file: string, names: readonly string[]][] {
  const byFile = grouped(changes, ({ node, file }) => `${node} ${file}`);
  const texts = byFile.map((group) => ({
    node: group[0]?.node ?? '',
    file: group[0]?.file ?? '',
    names: group.map(({ name }) => name),
    text: describeDifferences(group),
  }));
  return grouped(texts, ({ file, text }) => `${file} ${text}`).map((same) => {
    const [first] = same;
    const text = `on ${listed(same.map(({ node }) => node))} kubeadm would ${first?.text}`;
    return [text, first?.file ?? '', first?.names ?? []];
  });
}

function grouped<T>(items: readonly T[], keyOf: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return [...groups.values()];
}

/** At most three names. */
function listed(names: readonly string[]): string {
  const more = names.length - 3;
  return more > 0 ? `${names.slice(0, 3).join(', ')} and ${more} more` : names.join(' and ');
}

function remedy(file: string, names: readonly string[]): string {
  const accept = `accept it with gates.acceptChanges: ${JSON.stringify(names)}`;
  if (file === kubeletConfig)
    return `to keep it, write it to the ConfigMap kubelet-config in kube-system, or for one node to kubeletconfiguration.yaml in the directory kubeadm.patches; or ${accept}`;
  const component = /([^/]+)\.yaml$/.exec(file)?.[1];
  return `to keep it, write flags, variables and volumes to extraArgs, extraEnvs and extraVolumes in the ConfigMap kubeadm-config in kube-system, and anything to ${component}.yaml in the directory kubeadm.patches; or ${accept}`;
}
