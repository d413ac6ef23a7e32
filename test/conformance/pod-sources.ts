import { kubeconfigText } from '../lab/api/auth/kubeconfig.ts';
import type { Rest } from '../lab/api/contract/rest.ts';
import { PodRunner } from '../lab/api/pods/runner.ts';
import type { Pod, Stored } from '../lab/api/types.ts';
import type { RealCluster } from './real-cluster.ts';

/**
 * What a kubelet needs for a pod: the sources of its volumes, its token, and the processes of its containers.
 */
export class PodSources {
  /** Runs a process for each container. */
  readonly runner: PodRunner;
  readonly #rest: Rest;
  readonly #found = new Map<string, Stored>();

  /** @param entrypoints image prefix → the command that is run for it. */
  constructor(cluster: RealCluster, rest: Rest, entrypoints: Readonly<Record<string, readonly string[]>>) {
    this.#rest = rest;
    const { url, caPem, dir } = cluster;
    const get = (resource: string, namespace: string | undefined, name: string) =>
      this.#found.get(key(resource, namespace, name));
    this.runner = new PodRunner({
      dir,
      store: { get: get as never },
      url: () => url,
      caPem,
      entrypoints,
      extraEnv: {},
      credentials: async (namespace, serviceAccount) => {
        const token = await cluster.token({ namespace, serviceAccount });
        return { token, kubeconfig: kubeconfigText({ url, caPem, user: serviceAccount, token, namespace }) };
      },
      revoke: () => undefined,
    });
  }

  /** Stores the current state of the pod, or forgets it when it is gone. */
  note(pod: Pod, gone = false): void {
    const { namespace, name } = pod.metadata;
    if (gone) this.#found.delete(key('pods', namespace, name));
    else this.#found.set(key('pods', namespace, name), pod as unknown as Stored);
  }

  /** Fetches the ConfigMaps and Secrets that the pod's volumes and environment use. Ignores missing ones. */
  async fetch(pod: Pod): Promise<void> {
    const { namespace } = pod.metadata;
    for (const [resource, name] of sourcesOf(pod)) {
      const object = (await this.#rest.find(`/api/v1/namespaces/${namespace}/${resource}/${name}`)) as
        | Stored
        | undefined;
      if (object !== undefined) this.#found.set(key(resource, namespace, name), object);
    }
  }
}

const key = (resource: string, namespace: string | undefined, name: string) =>
  `${resource}/${namespace}/${name}`;

function sourcesOf({ spec }: Pod): [resource: string, name: string][] {
  const volumes = (spec?.volumes ?? []).flatMap((volume) => [
    { config: volume.configMap?.name, secret: volume.secret?.secretName },
    ...(volume.projected?.sources ?? []).map((s) => ({ config: s.configMap?.name, secret: s.secret?.name })),
  ]);
  const env = (spec?.containers ?? [])
    .flatMap((container) => container.env ?? [])
    .map(({ valueFrom }) => ({
      config: valueFrom?.configMapKeyRef?.name,
      secret: valueFrom?.secretKeyRef?.name,
    }));
  return [...volumes, ...env].flatMap(({ config, secret }) => [
    ...(config === undefined ? [] : [['configmaps', config] as [string, string]]),
    ...(secret === undefined ? [] : [['secrets', secret] as [string, string]]),
  ]);
}
