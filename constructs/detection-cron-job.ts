import { CronJobV1 } from '@cdktf/provider-kubernetes/lib/cron-job-v1/index.js';
import type { ITerraformDependable } from 'cdktf';
import { Construct } from 'constructs';
import { exitCodes } from '../runtime/src/errors.ts';
import { credentialKeys, mountPaths, objectNames } from '../runtime/src/names.ts';
import { checked } from './checked.ts';
import { programLabels } from './labels.ts';
import { finishedJobSeconds, programPod, type Resources } from './program-pod.ts';
import { cronSchedule, longestGapSeconds, timeZone } from './schedule.ts';

export interface DetectionCronJobProps {
  readonly namespace: string;
  /** Pinned by tag or digest. */
  readonly image: string;
  /**
   * Five cron fields.
   * @default '0 12 * * 0' Sunday noon, outside the window in which kured reboots nodes
   */
  readonly schedule?: string;
  /** @default 'Etc/UTC' */
  readonly timeZone?: string;
  /**
   * Whether it runs by itself. A suspended one can still be started by hand.
   * @default true
   */
  readonly enabled?: boolean;
  /**
   * Whether it posts to the agent service, and so needs that service's token.
   * @default true
   */
  readonly usesAgentService?: boolean;
  /**
   * Whether it writes to Slack, and so needs the webhook.
   * @default true
   */
  readonly usesSlack?: boolean;
  /** @default - 50m CPU, 96Mi memory, at most 256Mi */
  readonly resources?: Resources;
  /** Secrets of the namespace with which the kubelet pulls the image, where its registry asks for a login. @default - none */
  readonly imagePullSecrets?: readonly string[];
  /** What a pod needs that others make: its account's permissions, its settings. @default - none */
  readonly dependsOn?: readonly ITerraformDependable[];
}

/** The package list may wait 15 minutes for apt's lock, and 20 in all: what is wrong is to be said by the run, not by its deadline. */
const deadlineSeconds = 1800;

/** The weekly look for a new release: `k8s-upgrade detect`. */
export class DetectionCronJob extends Construct {
  /** The longest time between two detections. */
  readonly longestGapSeconds: number;

  constructor(scope: Construct, id: string, props: DetectionCronJobProps) {
    super(scope, id);
    const schedule = checked(
      this,
      () => cronSchedule('schedule', props.schedule ?? '0 12 * * 0'),
      '0 12 * * 0',
    );
    const zone = checked(this, () => timeZone('timeZone', props.timeZone ?? 'Etc/UTC'), 'Etc/UTC');
    this.longestGapSeconds = longestGapSeconds(schedule);
    const name = objectNames.detectionCronJob;
    const labels = programLabels('detector', name);

    new CronJobV1(this, 'cron-job', {
      dependsOn: [...(props.dependsOn ?? [])],
      metadata: { name, namespace: props.namespace, labels },
      spec: {
        schedule,
        timezone: zone,
        suspend: !(props.enabled ?? true),
        concurrencyPolicy: 'Forbid',
        // A control plane that was down at noon still gets its detection within the day.
        startingDeadlineSeconds: 6 * 3600,
        successfulJobsHistoryLimit: 3,
        failedJobsHistoryLimit: 3,
        jobTemplate: {
          metadata: { labels },
          spec: {
            backoffLimit: 2,
            activeDeadlineSeconds: deadlineSeconds,
            ttlSecondsAfterFinished: finishedJobSeconds,
            // Bad input and a closed gate are the same a minute later; a service that did not answer may not be.
            podFailurePolicy: {
              rule: [
                { action: 'Ignore', onPodCondition: [{ type: 'DisruptionTarget', status: 'True' }] },
                // The provider crashes on a rule without a container.
                {
                  action: 'FailJob',
                  onExitCodes: {
                    containerName: 'detect',
                    operator: 'In',
                    values: [exitCodes.badInput, exitCodes.blocked],
                  },
                },
              ],
            },
            template: {
              metadata: { labels },
              spec: programPod(this, {
                name: 'detect',
                image: props.image,
                args: ['detect', '--settings', mountPaths.settingsFile],
                serviceAccountName: objectNames.detectorServiceAccount,
                credentials: [
                  credentialKeys.sshKey,
                  ...((props.usesSlack ?? true) ? [credentialKeys.slackWebhook] : []),
                  ...((props.usesAgentService ?? true) ? [credentialKeys.agentToken] : []),
                ],
                resources: props.resources ?? { cpu: '50m', memory: '96Mi', memoryLimit: '256Mi' },
                imagePullSecrets: props.imagePullSecrets,
              }),
            },
          },
        },
      },
    });
  }
}
