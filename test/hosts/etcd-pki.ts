import '../lab/api/auth/reflect.ts';
import { webcrypto } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** Directory in which kubeadm keeps etcd's certificates. */
export const pki = '/etc/kubernetes/pki/etcd';
const day = 86_400_000;
const usages = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const;

interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

/** Writes certificates and data directory of a kubeadm control plane's etcd. `root` is the host's `/`. */
export async function setUpEtcd(root: string, name: string): Promise<void> {
  x509.cryptoProvider.set(webcrypto);
  await mkdir(join(root, pki), { recursive: true });
  await mkdir(join(root, 'var/lib/etcd'), { recursive: true, mode: 0o700 });
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=etcd-ca',
    ...validity(),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature, true),
    ],
  });
  const ca = { certificate, keys };
  await writePair(root, 'ca', ca);
  for (const file of ['server', 'peer'])
    await writePair(root, file, await issue(ca, name, [usages.server, usages.client]));
  await writePair(
    root,
    'healthcheck-client',
    await issue(ca, 'kube-etcd-healthcheck-client', [usages.client]),
  );
}

async function issue(ca: Issuer, name: string, extended: string[]): Promise<Issuer> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: ca.certificate.subject,
    ...validity(),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: ca.keys.privateKey,
    extensions: [
      new x509.ExtendedKeyUsageExtension(extended),
      new x509.SubjectAlternativeNameExtension([
        { type: 'dns', value: name },
        { type: 'dns', value: 'localhost' },
        { type: 'ip', value: '127.0.0.1' },
      ]),
    ],
  });
  return { certificate, keys };
}

const validity = () => ({
  notBefore: new Date(Date.now() - day),
  notAfter: new Date(Date.now() + 365 * day),
});

async function writePair(root: string, name: string, { certificate, keys }: Issuer): Promise<void> {
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  await writeFile(join(root, pki, `${name}.crt`), certificate.toString('pem'));
  await writeFile(join(root, pki, `${name}.key`), x509.PemConverter.encode(key, 'PRIVATE KEY'), {
    mode: 0o600,
  });
}
