import type {
  CronJobV1SpecJobTemplateSpecTemplateSpecContainerEnv as Env,
  CronJobV1SpecJobTemplateSpecTemplateSpec as PodSpec,
} from '@cdktf/provider-kubernetes/lib/cron-job-v1/index.js';
import type { Construct } from 'constructs';
import { mountPaths, objectNames } from '../runtime/src/names.ts';
import { checked, objectNamesIn, pinned, quantity } from './checked.ts';

/** The user `node` of the image. */
const user = '1000';

/** A Job that has ended is kept for a week, to the next detection: seconds. */
export const finishedJobSeconds = String(7 * 24 * 3600);

export interface ProgramPodProps {
  /** Name of the container. */
  readonly name: string;
  readonly image: string;
  readonly args: string[];
  readonly serviceAccountName: string;
  /** Keys of the Secret that this program reads; it sees no others. */
  readonly credentials: readonly string[];
  readonly resources: Resources;
  readonly imagePullSecrets?: readonly string[];
  readonly env?: Env[];
}

/** Requests, and the limit of memory. No limit of CPU: throttling would only make a rollout slower. */
export interface Resources {
  readonly cpu: string;
  readonly memory: string;
  readonly memoryLimit: string;
}

/**
 * A pod that passes Pod Security `restricted`, with its settings and credentials mounted read-only.
 *
 * @param scope reports a prop that is wrong.
 */
export function programPod(scope: Construct, props: ProgramPodProps): PodSpec {
  const image = checked(scope, () => pinned('image', props.image), props.image);
  const secrets = checked(scope, () => objectNamesIn('imagePullSecrets', props.imagePullSecrets ?? []), []);
  const amount = (key: keyof Resources) =>
    checked(scope, () => quantity(`resources.${key}`, props.resources[key]), '0');
  return {
    serviceAccountName: props.serviceAccountName,
    restartPolicy: 'Never',
    enableServiceLinks: false,
    ...(secrets.length > 0 && { imagePullSecrets: secrets.map((name) => ({ name })) }),
    securityContext: {
      runAsNonRoot: true,
      runAsUser: user,
      runAsGroup: user,
      fsGroup: user,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    container: [
      {
        name: props.name,
        image,
        imagePullPolicy: 'IfNotPresent',
        args: props.args,
        env: props.env,
        resources: {
          requests: { cpu: amount('cpu'), memory: amount('memory') },
          limits: { memory: amount('memoryLimit') },
        },
        securityContext: {
          // As for the pod: where it is not written, the provider sends false, which Pod Security refuses.
          runAsNonRoot: true,
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        // The last lines of a failed program show in `kubectl describe pod`.
        terminationMessagePolicy: 'FallbackToLogsOnError',
        volumeMount: [
          { name: 'settings', mountPath: mountPaths.settings, readOnly: true },
          { name: 'credentials', mountPath: mountPaths.credentials, readOnly: true },
        ],
      },
    ],
    volume: [
      { name: 'settings', configMap: { name: objectNames.settings } },
      {
        name: 'credentials',
        secret: {
          secretName: objectNames.credentials,
          // Owned by root and readable by the pod's group: an SSH client only refuses loose modes on files of its own user.
          defaultMode: '0440',
          items: props.credentials.map((key) => ({ key, path: key })),
        },
      },
    ],
  };
}
