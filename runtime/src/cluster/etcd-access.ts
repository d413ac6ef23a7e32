import type { V1Pod } from '@kubernetes/client-node';
import { UpgradeError } from '../errors.ts';
import { flagValues, ownContainer } from './control-plane-pods.ts';
import { podName } from './pods.ts';

/** How to reach the etcd of a node from inside its container: paths there, and a URL. */
export interface EtcdAccess {
  /** `https://127.0.0.1:2379` */
  readonly endpoint: string;
  /** The certificate authority that the members' certificates are from. */
  readonly authority: string;
  /** Its own certificate, which is also one of a client. */
  readonly certificate: string;
  /** The key of {@link certificate}. */
  readonly key: string;
}

/**
 * Reads it from the command line of etcd's pod: certificates and port may be others than kubeadm's own (F38).
 *
 * @param pod the mirror pod of etcd.
 * @throws UpgradeError when the command line does not show it.
 */
export function etcdAccess(pod: V1Pod): EtcdAccess {
  const unknown = (what: string) =>
    new UpgradeError(
      'blocked',
      `${podName(pod)} does not show ${what}; set it in etcd's manifest as kubeadm does`,
    );
  const container = ownContainer(pod);
  if (container === undefined) throw unknown('a container etcd');
  // A file of settings replaces all flags.
  if (
    [...(container.command ?? []), ...(container.args ?? [])].some((word) =>
      /^--?config-file\b/.test(word),
    ) ||
    container.env?.some(({ name }) => name === 'ETCD_CONFIG_FILE')
  )
    throw unknown('its flags, as it reads a file of settings');
  const path = (flag: string) => {
    const value = flagValues(container, flag).at(-1) ?? '';
    if (!/^\/[A-Za-z0-9._/-]+$/.test(value)) throw unknown(`a path in --${flag}`);
    return value;
  };
  const endpoint = clientUrl(flagValues(container, 'listen-client-urls').at(-1) ?? '');
  if (endpoint === undefined) throw unknown('an https URL in --listen-client-urls that can be asked');
  return {
    endpoint,
    authority: path('trusted-ca-file'),
    certificate: path('cert-file'),
    key: path('key-file'),
  };
}

/**
 * Of the URLs at which etcd listens, the one to ask: a loopback address where there is one. `localhost`
 * stands for an IPv6 one, as brackets are not sent to a node's shell; kubeadm's certificate names both.
 */
function clientUrl(listed: string): string | undefined {
  const urls = listed
    .split(',')
    .map((url) => url.replace(/\/\/0\.0\.0\.0:/, '//127.0.0.1:').replace(/\/\/\[::1?\]:/, '//localhost:'))
    .filter((url) => /^https:\/\/[A-Za-z0-9.-]+:\d+$/.test(url));
  return urls.find((url) => /\/\/(127\.|localhost:)/.test(url)) ?? urls[0];
}
