import { CronJobV1 } from '@cdktf/provider-kubernetes/lib/cron-job-v1/index.js';
import { Construct } from 'constructs';
import { mountPaths, objectNames } from '../runtime/src/names.ts';
import { programLabels } from './labels.ts';
import { restrictedPod } from './program-pod.ts';

/** What the pods that are tried on nodes need. */
export interface NodeCheckCronJobProps {
  /** The pipeline's namespace. */
  readonly namespace: string;
  /** Image of the runtime, pinned by tag or digest. */
  readonly image: string;
  /** Secrets of the namespace with which the kubelet logs in to the image's registry. @default - none */
  readonly imagePullSecrets?: readonly string[];
}

/** How long a finished Job is kept, in seconds: what went wrong is in the run's log by then. */
const finishedCheckSeconds = '600';

/** In every namespace; kube-controller-manager writes it. */
const clusterCa = 'kube-root-ca.crt';

/**
 * The template of the Job that tries whether pods work on a node: a CronJob that stays suspended. A run
 * creates a Job from it for each node, before it drains the node and before it lets others back (F34).
 *
 * Its pod holds no credentials, runs on any node whatever its taints, and asks for no CPU and memory, as it
 * must fit on a node that is full.
 */
export class NodeCheckCronJob extends Construct {
  constructor(scope: Construct, id: string, props: NodeCheckCronJobProps) {
    super(scope, id);
    const name = objectNames.nodeCheckCronJob;
    const labels = programLabels('node-check', name);
    const { clusterCa: caDirectory, scratch: directory } = mountPaths;
    new CronJobV1(this, 'cron-job', {
      metadata: { name, namespace: props.namespace, labels },
      spec: {
        // Never runs on this schedule, as it is suspended; the API requires one.
        schedule: '0 0 1 1 *',
        timezone: 'Etc/UTC',
        suspend: true,
        concurrencyPolicy: 'Forbid',
        jobTemplate: {
          metadata: { labels },
          spec: {
            // The network of a node that has just started may need some minutes.
            backoffLimit: 6,
            ttlSecondsAfterFinished: finishedCheckSeconds,
            template: {
              metadata: { labels },
              spec: {
                ...restrictedPod(this, {
                  name: 'check-node',
                  image: props.image,
                  args: ['check-node', '--directory', directory, '--ca-file', `${caDirectory}/ca.crt`],
                  resources: { cpu: '0', memory: '0', memoryLimit: '128Mi' },
                  imagePullSecrets: props.imagePullSecrets,
                  volumeMount: [
                    { name: 'scratch', mountPath: directory },
                    { name: 'cluster-ca', mountPath: caDirectory, readOnly: true },
                  ],
                  volume: [
                    { name: 'scratch', emptyDir: { sizeLimit: '1Mi' } },
                    { name: 'cluster-ca', configMap: { name: clusterCa } },
                  ],
                }),
                automountServiceAccountToken: false,
                toleration: [{ operator: 'Exists' }],
              },
            },
          },
        },
      },
    });
  }
}
