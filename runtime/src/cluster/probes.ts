import type { V1Container, V1HTTPGetAction, V1Pod } from '@kubernetes/client-node';

/**
 * The URLs that a kubelet requests to find out whether a pod is Ready: of each container its readiness probe,
 * or its startup probe where it has no other, as kubeadm's controller manager.
 *
 * @returns undefined when a container has no such probe, or one that is not a plain GET.
 */
export function probesOf({ spec, status }: V1Pod): readonly string[] | undefined {
  const urls = (spec?.containers ?? []).map((container) => urlOf(container, status?.podIP));
  return urls.some((url) => url === undefined) ? undefined : urls.flatMap((url) => url ?? []);
}

function urlOf(container: V1Container, podIp: string | undefined): string | undefined {
  const get = (container.readinessProbe ?? container.startupProbe)?.httpGet;
  const host = get?.host ?? podIp;
  const port = get && portOf(get, container);
  if (host === undefined || port === undefined || (get?.httpHeaders ?? []).length > 0) return undefined;
  const address = host.includes(':') ? `[${host}]` : host;
  return `${get?.scheme === 'HTTPS' ? 'https' : 'http'}://${address}:${port}${get?.path ?? '/'}`;
}

/** A probe names a port of its container, or has its number. */
const portOf = ({ port }: V1HTTPGetAction, { ports = [] }: V1Container): number | undefined =>
  Number(port) || ports.find(({ name }) => name === String(port))?.containerPort;
