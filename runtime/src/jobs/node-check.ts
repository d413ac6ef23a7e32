import { randomBytes } from 'node:crypto';
import type { V1CronJob, V1Job, V1Pod } from '@kubernetes/client-node';
import type { KubernetesClient } from '../cluster/client.ts';
import { isFinished } from '../cluster/pods.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { UpgradeError } from '../errors.ts';
import { objectNames } from '../names.ts';
import { jobOf, newestPod, readCronJob } from './job.ts';
import { type ScheduleOptions, waitUntilScheduled } from './unscheduled.ts';

/**
 * Starts the Job whose pod tries what every pod needs of its node: an address, names, the API server through
 * its Service, a volume (F34).
 */
export interface NodeCheck {
  /**
   * Creates the Job for this node, cordoned or not.
   *
   * @returns its name; undefined when its template is not deployed, and in a dry-run.
   */
  start(node: string): Promise<string | undefined>;
  /**
   * Waits until its pod is assigned to the node.
   *
   * @returns undefined once it is; after `timing.unschedulable`, why it is not, in the scheduler's words.
   */
  untilScheduled(job: string): Promise<string | undefined>;
}

/** What a check of a node works with. */
export interface NodeCheckPorts extends ScheduleOptions {
  /** Reads the template, and the Job's pods. */
  readonly client: KubernetesClient;
  /** Creates the Job. */
  readonly writer: Pick<ClusterWriter, 'createJob'>;
  /** Whether nothing is started. */
  readonly dryRun: boolean;
  /** How long a Job may take before it is ended, milliseconds. */
  readonly timeLimit: number;
  /** Receives, once, that nodes are not tried. */
  readonly onNotice: (text: string) => void;
}

/** The check of nodes by the template in the cluster. */
export function nodeCheck(ports: NodeCheckPorts): NodeCheck {
  const { client, namespace, writer } = ports;
  let reported = false;
  return {
    async start(node) {
      const template = await readCronJob(client, namespace, objectNames.nodeCheckCronJob);
      if (template === undefined) {
        if (!reported) ports.onNotice(notTried(namespace));
        reported = true;
        return undefined;
      }
      const job = await writer.createJob(buildNodeCheck(template, node, ports.timeLimit));
      return ports.dryRun ? undefined : job.metadata?.name;
    },
    untilScheduled: (job) => waitUntilScheduled(ports, job),
  };
}

const notTried = (namespace: string): string =>
  `no pod is tried on the nodes before they serve again: CronJob ${namespace}/${objectNames.nodeCheckCronJob}, its template, does not exist`;

/**
 * Builds the Job. Its name is chosen here, so that a retried creation recognizes its own Job.
 *
 * @param timeLimit milliseconds.
 * @throws UpgradeError when the template has no pod.
 */
function buildNodeCheck(template: V1CronJob, node: string, timeLimit: number): V1Job {
  const { metadata, spec } = template.spec?.jobTemplate ?? {};
  const pod = spec?.template.spec;
  if (spec === undefined || pod === undefined)
    throw new UpgradeError('failed', `CronJob ${objectNames.nodeCheckCronJob} has no pod to run`);
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      ...metadata,
      name: `${objectNames.nodeCheckCronJob}-${randomBytes(4).toString('hex')}`,
      annotations: { ...metadata?.annotations, 'cronjob.kubernetes.io/instantiate': 'manual' },
    },
    spec: {
      ...spec,
      activeDeadlineSeconds: Math.ceil(timeLimit / 1000),
      template: { ...spec.template, spec: { ...pod, affinity: onlyOn(node) } },
    },
  };
}

/** As the DaemonSet controller places a pod: by the node's name, which is no label. */
const onlyOn = (node: string) => ({
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }],
    },
  },
});

/**
 * What is missing until the Job's pod has succeeded; undefined once one has.
 *
 * @param pods of the node.
 */
export function missingOfCheck(pods: readonly V1Pod[], job: string): string | undefined {
  const own = pods.filter((pod) => jobOf(pod) === job);
  if (own.some(({ status }) => status?.phase === 'Succeeded')) return undefined;
  // One that has failed says why; the Job has already started another.
  const pod = newestPod(own.filter(isFinished)) ?? newestPod(own);
  if (pod === undefined) return `no pod of Job ${job} has started there`;
  return `pod ${pod.metadata?.name} ${stateOf(pod)}`;
}

/** `is Pending, without a network yet`, or what its program said before it failed. */
function stateOf({ status }: V1Pod): string {
  const { phase = 'Pending', message, conditions = [], containerStatuses = [] } = status ?? {};
  const state = containerStatuses[0]?.state;
  if (phase === 'Failed') {
    const said = state?.terminated?.message?.trim().split('\n').at(-1);
    return `failed: ${said || message || state?.terminated?.reason || 'without a reason'}`;
  }
  const isSandboxed = conditions.some((c) => c.type === 'PodReadyToStartContainers' && c.status === 'True');
  const waits = state?.waiting?.reason ?? '';
  if (phase === 'Running' || isSandboxed) return `is ${[phase, waits].filter(Boolean).join(': ')}`;
  return `is ${[phase, waits].filter(Boolean).join(': ')}, its network or volumes are not there`;
}
