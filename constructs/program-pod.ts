import type {
  CronJobV1SpecJobTemplateSpecTemplateSpecContainer as Container,
  CronJobV1SpecJobTemplateSpecTemplateSpecContainerEnv as Env,
  CronJobV1SpecJobTemplateSpecTemplateSpec as PodSpec,
} from '@cdktf/provider-kubernetes/lib/cron-job-v1/index.js';
import type { Construct } from 'constructs';
import { mountPaths, objectNames } from '../runtime/src/names.ts';
import { checked, objectNamesIn, pinned, quantity } from './checked.ts';

/** The user `node` of the image. */
const user = '1000';

/** How long a finished Job is kept, in seconds: a week, until the next detection. */
export const finishedJobSeconds = String(7 * 24 * 3600);

/** A pod of the runtime's image. */
export interface RestrictedPodProps {
  /** Name of the container. */
  readonly name: string;
  /** Image of the runtime, pinned by tag or digest. */
  readonly image: string;
  /** The command of the runtime and its arguments. */
  readonly args: string[];
  /** Where the container mounts the pod's volumes. */
  readonly volumeMount: NonNullable<Container['volumeMount']>;
  /** The volumes of the pod. */
  readonly volume: NonNullable<PodSpec['volume']>;
  /** Requests and memory limit of the container. */
  readonly resources: Resources;
  /** Secrets of the namespace with which the kubelet logs in to the image's registry. @default - none */
  readonly imagePullSecrets?: readonly string[];
  /** Environment variables of the container. @default - none */
  readonly env?: Env[];
}

/** What differs between the pods of the programs. */
export interface ProgramPodProps extends Omit<RestrictedPodProps, 'volumeMount' | 'volume'> {
  /** The service account with the program's permissions. */
  readonly serviceAccountName: string;
  /** Keys of the Secret that this program reads; no others are mounted. */
  readonly credentials: readonly string[];
}

/**
 * Requests and memory limit of a container. CPU has no limit: throttling would only make a rollout slower.
 */
export interface Resources {
  /** CPU request, such as `50m`. */
  readonly cpu: string;
  /** Memory request, such as `96Mi`. */
  readonly memory: string;
  /** Memory limit, such as `256Mi`. */
  readonly memoryLimit: string;
}

/**
 * A pod that passes Pod Security `restricted`.
 *
 * @param scope the construct whose validations report a wrong prop.
 */
export function restrictedPod(scope: Construct, props: RestrictedPodProps): PodSpec {
  const image = checked(scope, () => pinned('image', props.image), props.image);
  const secrets = checked(scope, () => objectNamesIn('imagePullSecrets', props.imagePullSecrets ?? []), []);
  const amount = (key: keyof Resources) =>
    checked(scope, () => quantity(`resources.${key}`, props.resources[key]), '0');
  return {
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
          // Repeated from the pod: when it is missing, the provider sends false, which Pod Security refuses.
          runAsNonRoot: true,
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        // Shows the last lines of a failed program in `kubectl describe pod`.
        terminationMessagePolicy: 'FallbackToLogsOnError',
        volumeMount: props.volumeMount,
      },
    ],
    volume: props.volume,
  };
}

/** Such a pod with its settings and credentials mounted read-only. */
export function programPod(scope: Construct, props: ProgramPodProps): PodSpec {
  const { serviceAccountName, credentials, ...pod } = props;
  return {
    serviceAccountName,
    ...restrictedPod(scope, {
      ...pod,
      volumeMount: [
        { name: 'settings', mountPath: mountPaths.settings, readOnly: true },
        { name: 'credentials', mountPath: mountPaths.credentials, readOnly: true },
      ],
      volume: [
        { name: 'settings', configMap: { name: objectNames.settings } },
        {
          name: 'credentials',
          secret: {
            secretName: objectNames.credentials,
            // Owned by root and readable by the pod's group: an SSH client refuses loose modes only on its
            // own user's files.
            defaultMode: '0440',
            items: credentials.map((key) => ({ key, path: key })),
          },
        },
      ],
    }),
  };
}
