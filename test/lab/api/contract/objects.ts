import type { KubeObject, Pod } from '../types.ts';

/** Objects that the contract's tests create. */

export const namespace = (name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name },
});

export function pod(name: string, inNamespace: string, spec: object = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: inNamespace },
    spec: { containers: [{ name: 'c', image: 'c:1' }], ...spec },
  };
}

/** A Deployment or StatefulSet whose pods have the label `app` with its name. */
export function workload(kind: string, name: string, inNamespace: string, replicas: number): KubeObject {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name, namespace: inNamespace },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
      template: {
        metadata: { labels },
        spec: { terminationGracePeriodSeconds: 1, containers: [{ name, image: `${name}:1` }] },
      },
    },
  };
}

export function budget(name: string, inNamespace: string, app: string, spec: object): KubeObject {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name, namespace: inNamespace },
    spec: { ...spec, selector: { matchLabels: { app } } },
  };
}

/** A Job whose only container, `main`, runs `script` with bash. */
export function job(
  name: string,
  inNamespace: string,
  script: string,
  spec: object = {},
  podSpec: object = {},
): KubeObject {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace: inNamespace },
    spec: {
      ...spec,
      template: {
        spec: {
          restartPolicy: 'Never',
          containers: [{ name: 'main', image: 'lab/sh:1', args: [script] }],
          ...podSpec,
        },
      },
    },
  };
}

export const isReady = ({ status }: Pod): boolean =>
  status?.conditions?.some(({ type, status: state }) => type === 'Ready' && state === 'True') === true;
