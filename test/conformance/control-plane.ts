import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { issueServerIdentity } from '../lab/api/auth/pki.ts';
import { builtRelease } from './build.ts';
import { Program } from './program.ts';

/** Who the parts say they are; the API server knows them by these tokens. */
export const identities = {
  admin: { name: 'kubernetes-admin', groups: ['system:masters'] },
  /**
   * The tests themselves and the hollow kubelets, so that the audit log distinguishes them from a person.
   */
  lab: { name: 'lab', groups: ['system:masters'] },
  controllers: { name: 'system:kube-controller-manager', groups: [] },
  scheduler: { name: 'system:kube-scheduler', groups: [] },
} as const;

export type Identity = keyof typeof identities;

const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  # Whether a deletion is a dry-run is in its body.
  - level: Request
    verbs: [delete, deletecollection]
  - level: Metadata
`;

/**
 * They must not be newer than the API server that they find: they would wait for kinds of objects that it has
 * not.
 */
export function emulationOf(version: string): string[] {
  const [minor = '', built] = [version, builtRelease].map((release) => release.split('.')[1]);
  return Number(minor) < Number(built) ? [`--emulated-version=kube=1.${minor}`] : [];
}

export function startEtcd(bin: string, dir: string, port: number, peerPort: number): Program {
  const client = `http://127.0.0.1:${port}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const args = [
    `--data-dir=${join(dir, 'etcd')}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    '--unsafe-no-fsync',
  ];
  return new Program(join(bin, 'etcd'), args, dir);
}

/**
 * Of kube-apiserver: RBAC and the default admission, Pod Security among it; an audit log; tokens from a file.
 */
export function apiServerArguments(dir: string, port: number, etcdPort: number): string[] {
  const file = (name: string) => join(dir, name);
  return [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    '--endpoint-reconciler-type=none',
    `--secure-port=${port}`,
    `--tls-cert-file=${file('server.crt')}`,
    `--tls-private-key-file=${file('server.key')}`,
    `--token-auth-file=${file('tokens.csv')}`,
    '--authorization-mode=Node,RBAC',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${file('sa.pub')}`,
    `--service-account-signing-key-file=${file('sa.key')}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    '--kubelet-preferred-address-types=InternalIP',
    '--allow-privileged=true',
    '--profiling=false',
    `--audit-policy-file=${file('audit-policy.yaml')}`,
    `--audit-log-path=${file('audit.log')}`,
    '--audit-log-mode=blocking',
  ];
}

/**
 * A new authority, the keys of service accounts, and a token for each of {@link identities}, as files in
 * `dir`.
 */
export async function writeCredentials(dir: string) {
  await mkdir(dir, { recursive: true });
  const identity = await issueServerIdentity();
  const names = Object.keys(identities) as Identity[];
  const tokens = Object.fromEntries(names.map((name) => [name, randomBytes(24).toString('base64url')]));
  const account = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const lines = names.map((name) => {
    const { name: user, groups } = identities[name];
    return `${tokens[name]},${user},${user},"${groups.join(',')}"\n`;
  });
  const files = {
    'ca.crt': identity.caPem,
    'server.crt': identity.certPem,
    'server.key': identity.keyPem,
    'sa.key': account.privateKey.export({ type: 'sec1', format: 'pem' }).toString(),
    'sa.pub': account.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    'tokens.csv': lines.join(''),
    'audit-policy.yaml': auditPolicy,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text, { mode: 0o600 });
  return { caPem: identity.caPem, tokens: tokens as Record<Identity, string> };
}
