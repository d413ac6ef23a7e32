import { stringify } from 'yaml';

interface Credentials {
  readonly url: string;
  readonly caPem: string;
  readonly user: string;
  readonly token: string;
  readonly namespace?: string;
}

/** A kubeconfig as YAML text. */
export function kubeconfigText(c: Credentials): string {
  const cluster = 'lab';
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: cluster,
        cluster: {
          server: c.url,
          'certificate-authority-data': Buffer.from(c.caPem).toString('base64'),
        },
      },
    ],
    users: [{ name: c.user, user: { token: c.token } }],
    contexts: [
      {
        name: cluster,
        context: {
          cluster,
          user: c.user,
          ...(c.namespace === undefined ? {} : { namespace: c.namespace }),
        },
      },
    ],
    'current-context': cluster,
  });
}
