import type { V1Pod } from '@kubernetes/client-node';
import { isFinished, podName } from '../cluster/pods.ts';
import { formatDuration } from '../duration.ts';
import { closesGate, describeAlert, isBegun, isTouched, ownMarks } from './alerts.ts';
import { compatibilityGates } from './compatibility/index.ts';
import { drainability } from './drainable.ts';
import { etcdMembers } from './etcd-members.ts';
import type { Gate } from './gate.ts';
import { planGate } from './kubeadm-plan.ts';
import { packages } from './target-published.ts';
import { upgradable } from './upgradable.ts';
import { versionPath } from './versions.ts';

const killSwitch: Gate = {
  name: 'kill-switch',
  summary: 'nobody has halted upgrades',
  closes: 'blocked',
  async check({ cluster }) {
    const reason = await cluster.killSwitch();
    return { reasons: reason === undefined ? [] : [`halted: ${reason} (k8s-upgrade resume lifts it)`] };
  },
};

const nodesReady: Gate = {
  name: 'nodes',
  summary: 'every node is Ready, without pressure, and at the beginning every listed node exists',
  closes: 'blocked',
  opensByWaiting: true,
  async check({ cluster, nodes, settings, inFlight }) {
    const odd = await cluster.unreadableNodes();
    const listed = [...settings.nodes.controlPlane, ...settings.nodes.workers];
    const absent = listed.filter((name) => !nodes.some((node) => node.name === name));
    const ours = nodes.filter((n) => !n.ready && isBegun(n, inFlight));
    const missed = absent.map((name) => `node ${name} is in the settings and not in the cluster`);
    return {
      reasons: [
        // A mistake when a rollout begins; later the node has gone, and nothing is left to be done on it.
        ...(inFlight === undefined ? missed : []),
        ...odd.map((one) => one.message),
        ...nodes.filter((n) => !n.ready && !ours.includes(n)).map((n) => `node ${n.name} is not Ready`),
        ...nodes.flatMap((n) => n.pressures.map((pressure) => `node ${n.name} has ${pressure}`)),
      ],
      notes: [
        ...(inFlight === undefined ? [] : missed),
        ...ours.map((n) => `node ${n.name} is not Ready; this rollout was interrupted there and resumes`),
        ...nodes
          .filter((n) => n.unschedulable && !n.cordonedByUs)
          .map((n) => `node ${n.name} was cordoned by somebody and stays so`),
      ],
    };
  },
};

const controlPlanePods: Gate = {
  name: 'control-plane',
  summary: 'the control-plane pods of every control-plane node are Ready',
  closes: 'blocked',
  opensByWaiting: true,
  async check({ cluster, nodes, inFlight }) {
    const pods = (await cluster.pods()).filter((p) => p.metadata?.labels?.tier === 'control-plane');
    const members = nodes.filter((n) => n.controlPlane);
    const begun = members.filter((n) => isBegun(n, inFlight));
    const isOn = (pod: V1Pod, node: { name: string }) => pod.spec?.nodeName === node.name;
    const unready = pods.filter((pod) => !isReady(pod) && !begun.some((n) => isOn(pod, n)));
    const bare = members.filter((n) => !begun.includes(n) && !pods.some((pod) => isOn(pod, n)));
    return {
      reasons: [
        ...unready.map((pod) => `pod ${podName(pod)} is not Ready`),
        ...bare.map((n) => `no control-plane pod is reported for ${n.name}`),
      ],
      notes: begun.map((n) => `${n.name} is in the middle of this rollout, and was not asked about`),
    };
  },
};

const isReady = (pod: V1Pod) =>
  pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;

const alertGate: Gate = {
  name: 'alerts',
  summary: 'no alert of the gating groups is firing',
  closes: 'blocked',
  opensByWaiting: true,
  async check(ctx) {
    const own = ownMarks(ctx);
    const firing = await ctx.alerts.firing();
    const closing = firing.filter((alert) => closesGate(alert, own));
    const ignored = firing.filter((alert) => !closing.includes(alert));
    return {
      reasons: closing.map(describeAlert),
      notes: ignored.map((a) => `${describeAlert(a)}: this rollout's own mark`),
    };
  },
};

const quiet: Gate = {
  name: 'quiet',
  summary: 'no node came or went lately, before this rollout began',
  closes: 'held',
  async check({ nodes, settings, inFlight }) {
    // Standing half way is worse than going on, and a rollout that is under way was asked when it began.
    if (nodes.some((n) => isTouched(n, inFlight)))
      return { reasons: [], idle: 'not asked: nodes are half way to the target' };
    const since = Date.now() - settings.gates.quietPeriod;
    // What has happened since its beginning is for the alerts to judge.
    const until = inFlight?.startedAt ?? Number.POSITIVE_INFINITY;
    const restless = nodes.filter((n) => n.readySince > since && n.readySince < until);
    return {
      reasons: restless.map((n) => {
        const ago = formatDuration(Date.now() - n.readySince);
        return `node ${n.name} became ${n.ready ? 'Ready' : 'not Ready'} ${ago} ago; quiet means ${formatDuration(settings.gates.quietPeriod)}`;
      }),
    };
  },
};

const podRatio: Gate = {
  name: 'pod-ratio',
  summary: 'enough of the pods that should be Ready are',
  closes: 'blocked',
  opensByWaiting: true,
  async check({ cluster, settings }) {
    const pods = (await cluster.pods()).filter((pod) => !isFinished(pod));
    const unready = pods.filter((pod) => !isReady(pod));
    const ratio = pods.length === 0 ? 1 : 1 - unready.length / pods.length;
    if (ratio >= settings.gates.minimumPodReadyRatio) return { reasons: [] };
    const some = unready.slice(0, 5).map(podName).join(', ');
    const wanted = settings.gates.minimumPodReadyRatio;
    return {
      reasons: [
        `${unready.length} of ${pods.length} pods are not Ready (at least ${wanted} must be): ${some}`,
      ],
    };
  },
};

/** Asked at preflight, all of them, before anything is touched. */
export const preflightGates: readonly Gate[] = [
  killSwitch,
  nodesReady,
  controlPlanePods,
  etcdMembers,
  alertGate,
  quiet,
  versionPath,
  packages,
  upgradable,
  planGate,
  ...compatibilityGates,
  drainability,
];

/** Asked again before every drain. */
export const drainGates: readonly Gate[] = [killSwitch, alertGate];

/** Asked about a node that joined after preflight: what of preflight a single node can fail. */
export const joinGates: readonly Gate[] = [upgradable, ...compatibilityGates, drainability];

/** Asked after the control plane. */
export const controlPlaneGates: readonly Gate[] = [nodesReady, controlPlanePods];

/** Asked all through a soak. */
export const soakGates: readonly Gate[] = [alertGate];

/** Asked at the end. */
export const postflightGates: readonly Gate[] = [nodesReady, controlPlanePods, podRatio, alertGate];
