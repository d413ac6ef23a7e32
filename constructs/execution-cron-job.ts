import { CronJobV1 } from '@cdktf/provider-kubernetes/lib/cron-job-v1/index.js';
import { PriorityClassV1 } from '@cdktf/provider-kubernetes/lib/priority-class-v1/index.js';
import type { ITerraformDependable } from 'cdktf';
import { Construct } from 'constructs';
import { exitCodes } from '../runtime/src/errors.ts';
import { credentialKeys, environment, mountPaths, objectNames } from '../runtime/src/names.ts';
import { checked, objectNamesIn } from './checked.ts';
import { labelsOf, programLabels } from './labels.ts';
import { finishedJobSeconds, programPod, type Resources } from './program-pod.ts';

/** What the pods of a run need. */
export interface ExecutionCronJobProps {
  /** The pipeline's namespace. */
  readonly namespace: string;
  /** Image of the runtime, pinned by tag or digest. */
  readonly image: string;
  /**
   * Name of an existing PriorityClass.
   * @default - a new one, `k8s-version-upgrade`, above ordinary workloads and below the system's
   */
  readonly priorityClassName?: string;
  /**
   * Whether it posts to Slack, and so needs the webhook.
   * @default true
   */
  readonly usesSlack?: boolean;
  /** Requests and memory limit of its pods. @default - 50m CPU, 256Mi memory, at most 256Mi */
  readonly resources?: Resources;
  /** Secrets of the namespace with which the kubelet logs in to the image's registry. @default - none */
  readonly imagePullSecrets?: readonly string[];
  /**
   * What must exist before a pod starts, such as its account's permissions and its settings.
   * @default - none
   */
  readonly dependsOn?: readonly ITerraformDependable[];
}

const ownPriorityClass = 'k8s-version-upgrade';

/**
 * The template of a run's Jobs: a CronJob that stays suspended. `k8s-upgrade submit` creates a Job from it as
 * `kubectl create job --from=cronjob/k8s-version-upgrade` would, and adds the inputs and the nodes to avoid.
 */
export class ExecutionCronJob extends Construct {
  constructor(scope: Construct, id: string, props: ExecutionCronJobProps) {
    super(scope, id);
    const name = objectNames.executionCronJob;
    const labels = programLabels('executor', name);

    const { priorityClassName = ownPriorityClass } = props;
    checked(this, () => objectNamesIn('priorityClassName', [priorityClassName]), []);
    const dependsOn = [...(props.dependsOn ?? [])];
    if (props.priorityClassName === undefined) {
      const priorityClass = new PriorityClassV1(this, 'priority-class', {
        metadata: { name: ownPriorityClass, labels: labelsOf('executor') },
        description:
          'The executor of a Kubernetes upgrade: not evicted under pressure, preempts no other pod.',
        value: 1_000_000,
        preemptionPolicy: 'Never',
      });
      dependsOn.push(priorityClass);
    }

    new CronJobV1(this, 'cron-job', {
      dependsOn,
      metadata: { name, namespace: props.namespace, labels },
      spec: {
        // Never runs on this schedule, as it is suspended; the API requires one.
        schedule: '0 0 1 1 *',
        timezone: 'Etc/UTC',
        suspend: true,
        concurrencyPolicy: 'Forbid',
        successfulJobsHistoryLimit: 3,
        failedJobsHistoryLimit: 3,
        jobTemplate: {
          metadata: { labels },
          spec: {
            // For crashes: a restarted executor picks up where it left off (F5).
            backoffLimit: 6,
            ttlSecondsAfterFinished: finishedJobSeconds,
            podFailurePolicy: {
              rule: [
                // An eviction or a reboot does not count as a failure. A node that never comes back keeps its
                // pod, and with it the Job: detection and submit name the Job to delete.
                { action: 'Ignore', onPodCondition: [{ type: 'DisruptionTarget', status: 'True' }] },
                // The executor ended as failed, bad input or blocked: a retry would change nothing (F15).
                {
                  action: 'FailJob',
                  onExitCodes: {
                    // The provider crashes on a rule without containerName.
                    containerName: 'run',
                    operator: 'In',
                    values: [exitCodes.failed, exitCodes.badInput, exitCodes.blocked],
                  },
                },
              ],
            },
            template: {
              metadata: { labels },
              spec: {
                ...programPod(this, {
                  name: 'run',
                  image: props.image,
                  args: ['run', '--settings', mountPaths.settingsFile],
                  serviceAccountName: objectNames.executorServiceAccount,
                  credentials: [
                    credentialKeys.sshKey,
                    ...((props.usesSlack ?? true) ? [credentialKeys.slackWebhook] : []),
                  ],
                  // Request and limit of memory are equal: under pressure the kubelet first evicts pods that
                  // exceed their request, and looks at priority second.
                  resources: props.resources ?? { cpu: '50m', memory: '256Mi', memoryLimit: '256Mi' },
                  imagePullSecrets: props.imagePullSecrets,
                  env: [
                    { name: environment.nodeName, valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
                    { name: environment.podName, valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
                  ],
                }),
                priorityClassName,
                // Long enough to finish its report and release the Lease.
                terminationGracePeriodSeconds: 60,
                // While every worker has yet to be drained, the Job runs on an upgraded control-plane node
                // (F1, F4).
                toleration: [
                  { key: 'node-role.kubernetes.io/control-plane', operator: 'Exists', effect: 'NoSchedule' },
                ],
              },
            },
          },
        },
      },
    });
  }
}
