import ssh2 from 'ssh2';
import { describe, expect, it, test } from 'vitest';
import { generateKeyPair } from '../../../test/lab/nodes/ssh.ts';
import { ownLabels } from '../labels.ts';
import { objectNames } from '../names.ts';
import { parseSettings } from '../settings/settings.ts';
import { connect, startLab } from '../testing/api.ts';
import { fingerprint, keyLine, loadHostKeys, withoutComment } from './host-keys.ts';

const { parseKey, generateKeyPairSync } = ssh2.utils;

/** A public key as a line and in wire format. */
function publicKey(line: string) {
  const key = parseKey(line);
  if (key instanceof Error) throw key;
  return { line, wire: key.getPublicSSH() };
}

const keys = {
  'ssh-ed25519': publicKey(generateKeyPair().publicKey),
  'ssh-rsa': publicKey(generateKeyPairSync('rsa', { bits: 2048 }).public.trim()),
  'ecdsa-sha2-nistp256': publicKey(generateKeyPairSync('ecdsa', { bits: 256 }).public.trim()),
};

/** A key and its fingerprint as `ssh-keygen -l` printed it. */
const known = {
  line: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK3aChfSeLNk1ondXJcHc241m/0wmijaoB02LHlixMf8',
  fingerprint: 'SHA256:9lWSNVbM1CZQBK1J3zKrHfHykaKwK8Rxb0KRY/Z+KT4',
};

describe('host keys', () => {
  test.each(Object.entries(keys))('of type %s are written as in known_hosts', (type, { line, wire }) => {
    expect(keyLine(wire)).toBe(line);
    expect(keyLine(wire).split(' ')[0]).toBe(type);
  });

  it('have the same fingerprint as in ssh-keygen', () => {
    expect(fingerprint(known.line)).toBe(known.fingerprint);
    expect(fingerprint(`${known.line} root@k8s-node1`)).toBe(known.fingerprint);
  });

  it('of two new nodes are both remembered when they are accepted at the same time (F27)', async () => {
    const lab = await startLab();
    try {
      const url = 'http://prometheus.invalid';
      const ssh = { hostKeys: { policy: 'accept-new' } };
      const settings = parseSettings('test', { ssh, prometheus: { url }, pushgateway: { url } });
      // The other one creates the ConfigMap in the meantime.
      const match = { verb: 'create', resource: 'configmaps' };
      lab.api.faults.add({ match, times: 1, action: { latencyMs: 500 } });
      const hostKeys = await loadHostKeys(connect(lab), settings, false);
      await Promise.all([hostKeys.accept('one', known.line), hostKeys.accept('two', keys['ssh-rsa'].line)]);
      const remembered = lab.api.store.get('configmaps', settings.namespace, objectNames.knownHosts);
      expect(remembered?.data).toEqual({ one: known.line, two: keys['ssh-rsa'].line });
      expect(remembered?.metadata.labels).toEqual(ownLabels);
    } finally {
      await lab.stop();
    }
  });

  it('are compared without their comment', () => {
    expect(withoutComment('ssh-ed25519 AAAA root@k8s-node1 again')).toBe('ssh-ed25519 AAAA');
    expect(withoutComment('ssh-ed25519 AAAA')).toBe('ssh-ed25519 AAAA');
  });
});
