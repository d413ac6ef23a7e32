import { CronJobV1 } from '@cdktf/provider-kubernetes/lib/cron-job-v1/index.js';
import { PriorityClassV1 } from '@cdktf/provider-kubernetes/lib/priority-class-v1/index.js';
import type { ITerraformDependable } from 'cdktf';
import { Construct } from 'constructs';
import { exitCodes } from '../runtime/src/errors.ts';
import { credentialKeys, environment, mountPaths, objectNames } from '../runtime/src/names.ts';
import { checked, objectNamesIn } from './checked.ts';
import { labelsOf, programLabels } from './labels.ts';
import { finishedJobSeconds, programPod, type Resources } from './program-pod.ts';

export interface ExecutionCronJobProps {
  readonly namespace: string;
  /** Pinned by tag or digest. */
  readonly image: string;
  /**
   * A PriorityClass that exists already.
   * @default - one of its own, `k8s-version-upgrade`, above ordinary workloads and below the system's
   */
  readonly priorityClassName?: string;
  /**
   * Whether it writes to Slack, and so needs the webhook.
   * @default true
   */
  readonly usesSlack?: boolean;
  /** @default - 50m CPU, 256Mi memory and no more */
  readonly resources?: Resources;
  /** Secrets of the namespace with which the kubelet pulls the image, where its registry asks for a login. @default - none */
  readonly imagePullSecrets?: readonly string[];
  /** What a pod needs that others make: its account's permissions, its settings. @default - none */
  readonly dependsOn?: readonly ITerraformDependable[];
}

const ownPriorityClass = 'k8s-version-upgrade';

/**
 * The template of a run's Jobs: a CronJob that is suspended for ever. `k8s-upgrade submit` creates a Job from it as
 * `kubectl create job --from=cronjob/k8s-version-upgrade` would, and adds the inputs and where the Job must not run.
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
        description: 'The executor of a Kubernetes upgrade: not evicted under pressure, preempts nobody.',
        value: 1_000_000,
        preemptionPolicy: 'Never',
      });
      dependsOn.push(priorityClass);
    }

    new CronJobV1(this, 'cron-job', {
      dependsOn,
      metadata: { name, namespace: props.namespace, labels },
      spec: {
        // Never due: it is suspended, and the schedule is only there because the API asks for one.
        schedule: '0 0 1 1 *',
        timezone: 'Etc/UTC',
        suspend: true,
        concurrencyPolicy: 'Forbid',
        successfulJobsHistoryLimit: 3,
        failedJobsHistoryLimit: 3,
        jobTemplate: {
          metadata: { labels },
          spec: {
            // Crashes. A restarted executor resumes, so trying again is cheap (F5).
            backoffLimit: 6,
            ttlSecondsAfterFinished: finishedJobSeconds,
            podFailurePolicy: {
              rule: [
                // A drain or a reboot is nobody's failure, and counts against nothing. A node that never comes back keeps its pod,
                // and with it the Job: detection and submit say which to delete.
                { action: 'Ignore', onPodCondition: [{ type: 'DisruptionTarget', status: 'True' }] },
                // The executor has decided: failed, bad input, blocked. Starting it again changes nothing (F15).
                {
                  action: 'FailJob',
                  onExitCodes: {
                    // The provider crashes on a rule without one.
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
                  // Under pressure the kubelet first evicts whoever is above its request, and looks at priority second.
                  resources: props.resources ?? { cpu: '50m', memory: '256Mi', memoryLimit: '256Mi' },
                  imagePullSecrets: props.imagePullSecrets,
                  env: [
                    { name: environment.nodeName, valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
                    { name: environment.podName, valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
                  ],
                }),
                priorityClassName,
                // So that it can finish its report and give back the lease.
                terminationGracePeriodSeconds: 60,
                // When every worker is still to be drained, an upgraded control-plane node takes the Job (F1, F4).
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
