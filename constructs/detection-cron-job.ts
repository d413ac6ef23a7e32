import { CronJobV1 } from '@cdktf/provider-kubernetes/lib/cron-job-v1/index.js';
import type { ITerraformDependable } from 'cdktf';
import { Construct } from 'constructs';
import { exitCodes } from '../runtime/src/errors.ts';
import { credentialKeys, mountPaths, objectNames } from '../runtime/src/names.ts';
import { checked } from './checked.ts';
import { programLabels } from './labels.ts';
import { finishedJobSeconds, programPod, type Resources } from './program-pod.ts';
import { cronSchedule, longestGapSeconds, timeZone } from './schedule.ts';

/** The schedule of detection, and what its pods need. */
export interface DetectionCronJobProps {
  /** The pipeline's namespace. */
  readonly namespace: string;
  /** Image of the runtime, pinned by tag or digest. */
  readonly image: string;
  /**
   * Five cron fields.
   * @default '0 12 * * 0' Sunday noon, outside the window in which kured reboots nodes
   */
  readonly schedule?: string;
  /** Time zone of the schedule, by its name in the time zone database. @default 'Etc/UTC' */
  readonly timeZone?: string;
  /**
   * Whether it runs on its schedule. A suspended CronJob can still be started manually.
   * @default true
   */
  readonly enabled?: boolean;
  /**
   * Whether it posts to the agent service, and so needs that service's token.
   * @default true
   */
  readonly usesAgentService?: boolean;
  /**
   * Whether it posts to Slack, and so needs the webhook.
   * @default true
   */
  readonly usesSlack?: boolean;
  /** Requests and memory limit of its pods. @default - 50m CPU, 96Mi memory, at most 256Mi */
  readonly resources?: Resources;
  /** Secrets of the namespace with which the kubelet logs in to the image's registry. @default - none */
  readonly imagePullSecrets?: readonly string[];
  /**
   * What must exist before a pod starts, such as its account's permissions and its settings.
   * @default - none
   */
  readonly dependsOn?: readonly ITerraformDependable[];
}

/**
 * Listing packages may wait 15 minutes for apt's lock and take 20 in all. The deadline is longer, so that the
 * program itself reports a time-out.
 */
const deadlineSeconds = 1800;

/** The CronJob that looks for a new release, once a week by default: `k8s-upgrade detect`. */
export class DetectionCronJob extends Construct {
  /** The longest time between two scheduled detections, in seconds. */
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
        // When the control plane was down at noon, detection still starts within six hours.
        startingDeadlineSeconds: 6 * 3600,
        successfulJobsHistoryLimit: 3,
        failedJobsHistoryLimit: 3,
        jobTemplate: {
          metadata: { labels },
          spec: {
            backoffLimit: 2,
            activeDeadlineSeconds: deadlineSeconds,
            ttlSecondsAfterFinished: finishedJobSeconds,
            // A retry does not help against bad input or a closed gate; it may when a service did not answer.
            podFailurePolicy: {
              rule: [
                { action: 'Ignore', onPodCondition: [{ type: 'DisruptionTarget', status: 'True' }] },
                // The provider crashes on a rule without containerName.
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
