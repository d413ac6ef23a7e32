import './reflect.ts';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** Keys and certificates of the server, PEM. */
export interface ServerIdentity {
  /** Certificate of the CA that clients trust. */
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const year = 365 * 86_400_000;

/** Creates a CA and a server certificate for the loopback interface, in a few milliseconds. */
export async function issueServerIdentity(): Promise<ServerIdentity> {
  x509.cryptoProvider.set(webcrypto);
  const { subtle } = webcrypto;
  const pair = () => subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const [caKeys, serverKeys] = await Promise.all([pair(), pair()]);
  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + year) };
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=kubernetes',
    ...validity,
    signingAlgorithm: algorithm,
    keys: caKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  const server = await x509.X509CertificateGenerator.create({
    serialNumber: '02',
    subject: 'CN=kube-apiserver',
    issuer: ca.subject,
    ...validity,
    signingAlgorithm: algorithm,
    publicKey: serverKeys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [
      new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1']),
      new x509.SubjectAlternativeNameExtension([
        { type: 'ip', value: '127.0.0.1' },
        { type: 'dns', value: 'localhost' },
        { type: 'dns', value: 'kubernetes.default.svc' },
      ]),
    ],
  });
  const key = await subtle.exportKey('pkcs8', serverKeys.privateKey);
  return {
    caPem: ca.toString('pem'),
    certPem: server.toString('pem'),
    keyPem: x509.PemConverter.encode(key, 'PRIVATE KEY'),
  };
}
