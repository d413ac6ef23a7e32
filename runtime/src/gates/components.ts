import type { V1DaemonSet, V1Deployment, V1Pod } from '@kubernetes/client-node';
import semver from 'semver';
import listImages from '../../dist/node-scripts/list_images.sh?raw';
import { isNotFound } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import {
  type Component,
  controlPlanePods,
  ownComponents,
  ownContainer,
  tagOf,
} from '../cluster/control-plane-pods.ts';
import { isFinished } from '../cluster/pods.ts';
import { UpgradeError } from '../errors.ts';
import type { Findings, Gate, GateContext } from './gate.ts';

/**
 * Compares what runs with what kubeadm of the target brings to this cluster. `kubeadm upgrade` can end with
 * success and leave a component behind: an add-on after an interruption, etcd after a second attempt.
 */
export const componentsGate: Gate = {
  name: 'components',
  summary: 'the control plane, etcd, CoreDNS and kube-proxy run what the target brings',
  outcomeWhenClosed: 'blocked',
  opensByWaiting: true,
  observes: ['control-plane pods'],
  async check(ctx) {
    if (ctx.dryRun) return { reasons: [], notAsked: 'not checked: a dry-run changes no component' };
    const [pods, brought] = await Promise.all([ctx.cluster.pods(), broughtBy(ctx)]);
    const found = [
      ...judgeOwn(ctx, pods),
      ...judgeEtcd(ctx, pods, brought),
      ...(await Promise.all(addOns.map((addOn) => judgeAddOn(ctx, addOn, pods, brought)))),
    ];
    return { reasons: found.flatMap((one) => one.reasons), notes: found.flatMap((one) => one.notes ?? []) };
  },
};

/** Name of an image, without its repository → its tag. */
type Brought = ReadonlyMap<string, string>;

const reason = (text: string): Findings => ({ reasons: [text] });
const note = (text: string): Findings => ({ reasons: [], notes: [text] });

/**
 * What kubeadm of a control-plane node, which is at the target by now, installs in this cluster: with the
 * tags of kubeadm-config, and without what that leaves out.
 *
 * @throws UpgradeError when it does not say.
 */
async function broughtBy({ shell, nodes, target }: GateContext): Promise<Brought> {
  const members = nodes.filter((node) => node.controlPlane);
  const node = members.find((one) => one.ready) ?? members[0];
  if (node === undefined) throw new UpgradeError('blocked', 'the cluster has no control-plane node');
  const { code, output } = await shell.read(node, ['bash', '-s', '--', '--release', target], listImages);
  const images = /^result: \{"images":\[(.+)\]\}$/m.exec(output)?.[1]?.split(',') ?? [];
  if (code !== 0 || images.length === 0) {
    const why = output.trim().split('\n').at(-1) || 'no output';
    throw new UpgradeError(
      'blocked',
      `kubeadm on ${node.name} does not list the images of ${target}: ${why}`,
    );
  }
  return new Map(
    images.flatMap((quoted) => {
      const image = quoted.replace(/^"|"$/g, '');
      const tag = tagOf(image);
      return tag === undefined ? [] : [[nameOf(image), tag]];
    }),
  );
}

/** `registry.k8s.io/coredns/coredns:v1.12.1` → `coredns` */
const nameOf = (image: string): string => /([^/]+?)(?:[:@]|$)/.exec(image.replace(/^.*\//, ''))?.[1] ?? '';

/** Kubernetes' own components have the target's tag, on every control-plane node. */
function judgeOwn({ nodes, target }: GateContext, pods: readonly V1Pod[]): Findings[] {
  return nodes
    .filter((node) => node.controlPlane)
    .flatMap((node) =>
      ownComponents.map((component) => {
        const [pod] = controlPlanePods(pods, [node], [component]);
        if (pod === undefined) return reason(`${node.name} has no pod kube-system/${component}-${node.name}`);
        return judge(`${component} of ${node.name}`, ownContainer(pod)?.image, `v${target}`, false);
      }),
    );
}

function judgeEtcd({ nodes }: GateContext, pods: readonly V1Pod[], brought: Brought): Findings[] {
  const members = controlPlanePods(pods, nodes, ['etcd' satisfies Component]);
  const wanted = brought.get('etcd');
  if (members.length === 0 || wanted === undefined)
    return [note('etcd was not checked: kubeadm does not run it')];
  // kubeadm leaves a newer etcd alone.
  return members.map((pod) => judge(`etcd of ${pod.spec?.nodeName}`, ownContainer(pod)?.image, wanted, true));
}

/** @param mayBeNewer whether a newer version than the wanted one is right, too. */
function judge(what: string, image: string | undefined, wanted: string, mayBeNewer: boolean): Findings {
  if (image === undefined) return reason(`${what} has no container of that name`);
  const tag = tagOf(image);
  if (tag === undefined) return note(`${what} was not checked: ${image} has no tag`);
  if (tag === wanted || (mayBeNewer && isNewer(tag, wanted))) return { reasons: [] };
  return reason(`${what} runs ${tag}, and kubeadm of the target brings ${wanted}; repeat kubeadm upgrade`);
}

/** `3.6.6-0` is newer than `3.6.5-0`, and `3.6.5-1` too. False when a tag is no such version. */
function isNewer(tag: string, than: string): boolean {
  const [one, other] = [tag, than].map((text) => /^v?(\d+\.\d+\.\d+)(?:-(\d+))?$/.exec(text));
  if (!one?.[1] || !other?.[1]) return false;
  return (semver.compare(one[1], other[1]) || Number(one[2] ?? 0) - Number(other[2] ?? 0)) > 0;
}

/** An add-on that kubeadm installs. Its object, its image and its container have the same name. */
interface AddOn {
  readonly name: string;
  readonly kind: 'Deployment' | 'DaemonSet';
  read(client: KubernetesClient): Promise<V1Deployment | V1DaemonSet>;
  /** Whether a newer version is right, too: kubeadm keeps a CoreDNS whose configuration it cannot migrate. */
  readonly mayBeNewer: boolean;
  /** What controls its pods. */
  readonly controller: RegExp;
}

const namespace = 'kube-system';
const addOns: readonly AddOn[] = [
  {
    name: 'coredns',
    kind: 'Deployment',
    read: (client) => client.apps.readNamespacedDeployment({ name: 'coredns', namespace }),
    mayBeNewer: true,
    controller: /^ReplicaSet coredns-[a-z0-9]+$/,
  },
  {
    name: 'kube-proxy',
    kind: 'DaemonSet',
    read: (client) => client.apps.readNamespacedDaemonSet({ name: 'kube-proxy', namespace }),
    mayBeNewer: false,
    controller: /^DaemonSet kube-proxy$/,
  },
];

async function judgeAddOn(
  { client, nodes, settings }: GateContext,
  addOn: AddOn,
  pods: readonly V1Pod[],
  brought: Brought,
): Promise<Findings> {
  const { name, kind, mayBeNewer } = addOn;
  const skipped = settings.kubeadm.skipPhases.find((phase) => ['addon', `addon/${name}`].includes(phase));
  if (skipped !== undefined) return note(`${name} was not checked: kubeadm.skipPhases has ${skipped}`);
  const wanted = brought.get(name);
  if (wanted === undefined) return note(`${name} was not checked: kubeadm-config leaves it out`);
  const what = `${kind} ${namespace}/${name}`;
  const object = await client
    .call(`read ${what}`, () => addOn.read(client))
    .catch((error) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
  if (object === undefined) return note(`${name} was not checked: there is no ${what}`);
  const image = imageIn(object.spec?.template.spec, name);
  const found = judge(what, image, wanted, mayBeNewer);
  if (found.reasons.length > 0 || found.notes !== undefined) return found;
  // Those of nodes that are not Ready cannot be replaced; the gate `nodes` has judged these.
  const ready = new Set(nodes.filter((node) => node.ready).map((node) => node.name));
  const old = pods.filter(
    (pod) => isOf(pod, addOn) && ready.has(pod.spec?.nodeName ?? '') && imageIn(pod.spec, name) !== image,
  );
  if (old.length === 0) return found;
  const where = old.slice(0, 5).map((pod) => pod.spec?.nodeName);
  return reason(`${what} runs ${image}, but ${old.length} of its pods do not yet: on ${where.join(', ')}`);
}

const imageIn = (spec: V1Pod['spec'], name: string): string | undefined =>
  spec?.containers.find((container) => container.name === name)?.image;

/** Whether the pod is one of the add-on's that stay. */
function isOf(pod: V1Pod, { controller }: AddOn): boolean {
  const owner = pod.metadata?.ownerReferences?.find((one) => one.controller);
  return (
    pod.metadata?.namespace === namespace &&
    controller.test(`${owner?.kind} ${owner?.name}`) &&
    !isFinished(pod) &&
    pod.metadata.deletionTimestamp === undefined
  );
}
